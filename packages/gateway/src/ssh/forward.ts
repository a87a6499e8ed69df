/** Connections from the client's side to ports and UNIX sockets inside the sandbox (`ssh -L`, `-D`, `-W`). Never to the node: the agent dials. */
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Agent } from "@caisson/protocol";
import type { Logger } from "pino";
import type { ServerChannel } from "ssh2";
import { whenOver } from "./channel-end.ts";
import { enforceWindow, type Flow } from "./flow.ts";
import { sshLimits } from "./limits.ts";

export interface JoinOptions {
  readonly flow: Flow;
  /** Called when the client sends more than it may. */
  readonly violated: () => void;
}

export interface ForwardOptions extends JoinOptions {
  readonly accept: () => ServerChannel;
  readonly reject: () => void;
  /** Aborted when the connection of the client has closed. */
  readonly gone: AbortSignal;
  readonly log: Logger;
}

/** Joins the channel that a client asks for with what `dial` reaches inside, or refuses it when that fails. */
export async function forward(
  dial: () => Promise<Duplex>,
  { accept, reject, gone, log, ...options }: ForwardOptions,
): Promise<void> {
  const inside = await dial().catch((error: unknown) => {
    log.debug({ err: error }, "a forwarded connection was not made");
  });
  // The library would make a channel all the same, which never ends.
  if (gone.aborted) inside?.destroy();
  else if (inside === undefined) reject();
  else await join(accept(), inside, options);
}

/**
 * `localhost` and this sandbox's own addresses are inside the sandbox. Any other host is reached through the sandbox's network, under its
 * policy.
 */
export function dialFrom(agent: Agent, host: string, port: number, signal: AbortSignal): Promise<Duplex> {
  if (host !== "localhost" && host !== "") return agent.dial(host, port, { signal });
  return agent.dial("127.0.0.1", port, { signal }).catch(() => agent.dial("::1", port, { signal }));
}

/** Resolves when both directions have ended. */
export async function join(channel: ServerChannel, inside: Duplex, { flow, violated }: JoinOptions): Promise<void> {
  let late: NodeJS.Timeout | undefined;
  try {
    channel.on("error", () => inside.destroy());
    enforceWindow(channel, violated);
    whenOver(channel, () => {
      // What was read from the channel is on its way. When the rest was dropped, it must not look complete inside.
      if (channel.readableEnded) late = setTimeout(() => inside.destroy(), sshLimits.drain);
      else inside.destroy();
    });
    // Each direction ends for itself: a half-closed connection goes on in the other one. `end` would close the whole channel.
    await Promise.allSettled([
      pipeline(channel, inside),
      flow.copy(inside, channel, channel).then(() => channel.eof()),
    ]);
  } finally {
    clearTimeout(late);
    inside.destroy();
    channel.close();
  }
}
