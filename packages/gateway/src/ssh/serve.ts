/** One connection that has logged in: its sessions and forwarded connections, until either side ends it. */
import type { SshRoute } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Connection } from "ssh2";
import type { Counts } from "./counts.ts";
import { disconnect, sandboxEnded } from "./disconnect.ts";
import { Flow } from "./flow.ts";
import { forwardIn, forwardToSocket } from "./forward.ts";
import { disconnectReasons } from "./library.ts";
import { keepKeysFresh, type RekeyLimits } from "./rekey.ts";
import { serveRemoteForwards } from "./remote-forward.ts";
import { serveSession } from "./session.ts";

export interface ServeOptions {
  readonly connection: Connection;
  readonly route: SshRoute;
  /** Of all connections to one sandbox. */
  readonly channels: Counts;
  /** Counted here. */
  readonly served: { sessions: number; forwarded: number };
  readonly rekey: RekeyLimits | undefined;
  readonly log: Logger;
}

export function serveConnection({ connection, route, channels, served, rekey, log }: ServeOptions): void {
  const fault = (words: string) => {
    log.info({ fault: words }, "an SSH client was disconnected");
    disconnect(connection, disconnectReasons.protocolError, words);
  };
  const violated = () => fault("Caisson: the client sent more than the window of a channel allows.");
  const flow = new Flow(connection, () => fault("Caisson: the client asks without reading the answers."));
  keepKeysFresh(connection, fault, rekey);
  const ended = () => disconnect(connection, disconnectReasons.byApplication, sandboxEnded);
  // The sandbox can have ended since the login was accepted.
  if (route.ended.aborted) return ended();
  route.ended.addEventListener("abort", ended, { once: true });
  connection.once("close", () => route.ended.removeEventListener("abort", ended));

  const places = new Set<() => void>();
  connection.once("close", () => {
    for (const free of places) free();
  });
  /** A place for one more channel, until it or the connection closes. */
  const place = (): (() => void) | undefined => {
    const give = channels.take(route.workloadId);
    if (give === undefined) return undefined;
    const free = () => {
      places.delete(free);
      give();
    };
    places.add(free);
    return free;
  };

  connection.on("session", (accept, reject) => {
    const free = place();
    if (free === undefined) return reject();
    served.sessions++;
    const session = accept();
    session.once("close", free);
    serveSession({ session, route, flow, violated, log });
  });
  connection.on("tcpip", (accept, reject, { destIP, destPort }) => {
    const free = place();
    if (free === undefined) return reject();
    served.forwarded++;
    forwardIn({ host: destIP, port: destPort }, { accept, reject, route, flow, violated, log })
      .catch((error: unknown) => log.debug({ err: error }, "a forwarded connection failed"))
      .finally(free);
  });
  connection.on("openssh.streamlocal", (accept, reject, { socketPath }) => {
    const free = place();
    if (free === undefined) return reject();
    served.forwarded++;
    forwardToSocket(socketPath, { accept, reject, route, flow, violated, log })
      .catch((error: unknown) => log.debug({ err: error }, "a forwarded connection failed"))
      .finally(free);
  });
  const placeFromInside = () => {
    const free = place();
    if (free !== undefined) served.forwarded++;
    return free;
  };
  serveRemoteForwards({ connection, route, flow, violated, place: placeFromInside, log });
}
