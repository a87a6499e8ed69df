/** Connections that begin inside the sandbox and lead to the client's side. */
import type { AcceptedSocket } from "@caisson/protocol";
import type { Logger } from "pino";
import type { ServerChannel } from "ssh2";
import { join, type JoinOptions } from "./forward.ts";

export interface FromInsideOptions extends JoinOptions {
  /** Aborted when the connection of the client has closed. */
  readonly gone: AbortSignal;
  /** A place for one more channel of the sandbox; undefined: there is none. */
  readonly place: () => (() => void) | undefined;
  readonly log: Logger;
}

/**
 * Joins each with a channel of its own, until the listener ends.
 * @param open asks the client for the channel
 */
export async function leadOut(
  accepted: AsyncIterable<AcceptedSocket>,
  open: (from: AcceptedSocket) => Promise<ServerChannel>,
  { gone, place, log, ...options }: FromInsideOptions,
): Promise<void> {
  for await (const one of accepted) {
    const free = gone.aborted ? undefined : place();
    if (free === undefined) {
      one.socket.destroy();
      continue;
    }
    open(one)
      .then((channel) => join(channel, one.socket, options))
      .catch((error: unknown) => log.debug({ err: error }, "a connection from inside failed"))
      .finally(() => {
        one.socket.destroy();
        free();
      });
  }
}
