/** One connection that has logged in: its sessions and forwarded connections, until either side ends it. */
import type { SshAllowedKey, SshRoute } from "@caisson/protocol";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import type { Connection, ServerChannel } from "ssh2";
import type { Counts } from "./counts.ts";
import { disconnect, sandboxEnded } from "./disconnect.ts";
import { Flow } from "./flow.ts";
import { agentForwarding } from "./agent-forward.ts";
import { dialFrom, forward } from "./forward.ts";
import { disconnectReasons, socketOf } from "./library.ts";
import { machineEnd } from "./machine-end.ts";
import { keepKeysFresh, type RekeyLimits } from "./rekey.ts";
import { serveRemoteForwards } from "./remote-forward.ts";
import { serveSession } from "./session.ts";

export interface ServeOptions {
  readonly connection: Connection;
  readonly route: SshRoute;
  /** That the client logged in with. */
  readonly key: SshAllowedKey | undefined;
  /** Of all connections to one sandbox. */
  readonly channels: Counts;
  /** Counted here. */
  readonly served: { sessions: number; forwarded: number };
  readonly rekey: RekeyLimits | undefined;
  /** Whether clients may make their SSH agent usable inside. */
  readonly agents: boolean;
  readonly log: Logger;
}

export function serveConnection({ connection, route, key, channels, served, rekey, agents, log }: ServeOptions): void {
  const fault = (words: string) => {
    // What came before the end is still read, and can have the same fault.
    if (!socketOf(connection).writable) return;
    log.info({ fault: words }, "an SSH client was disconnected");
    disconnect(connection, disconnectReasons.protocolError, words);
  };
  const violated = () => fault("Caisson: the client sent more than the window of a channel allows.");
  const flow = new Flow(connection, () => fault("Caisson: the client asks without reading the answers."));
  keepKeysFresh(connection, fault, rekey);
  for (const [signal, words] of [
    [route.ended, sandboxEnded],
    [machineEnd(route.agent), sandboxEnded],
    [key?.removed, "Caisson: the key of this login was removed from its organisation."],
  ] as const) {
    const end = () => disconnect(connection, disconnectReasons.byApplication, words);
    // It can have happened since the login was accepted.
    if (signal?.aborted === true) return end();
    signal?.addEventListener("abort", end, { once: true });
    connection.once("close", () => signal?.removeEventListener("abort", end));
  }
  const gone = new AbortController();
  connection.once("close", () => gone.abort());

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

  const placeToForward = () => {
    const free = place();
    if (free !== undefined) served.forwarded++;
    return free;
  };
  const fromInside = { connection, route, flow, violated, gone: gone.signal, place: placeToForward, log };
  const agentSocket = agents ? agentForwarding(fromInside) : undefined;

  connection.on("session", (accept, reject) => {
    const free = place();
    if (free === undefined) return reject();
    served.sessions++;
    const session = accept();
    session.once("close", free);
    serveSession({ session, route, agentSocket, flow, violated, log });
  });
  const forwardTo = (dial: () => Promise<Duplex>, accept: () => ServerChannel, reject: () => void) => {
    const free = placeToForward();
    if (free === undefined) return reject();
    forward(dial, { accept, reject, flow, violated, gone: gone.signal, log })
      .catch((error: unknown) => log.debug({ err: error }, "a forwarded connection failed"))
      .finally(free);
  };
  connection.on("tcpip", (accept, reject, { destIP, destPort }) =>
    forwardTo(() => dialFrom(route.agent, destIP, destPort, gone.signal), accept, reject),
  );
  connection.on("openssh.streamlocal", (accept, reject, { socketPath }) =>
    forwardTo(() => route.agent.connectUnix(socketPath), accept, reject),
  );
  serveRemoteForwards(fromInside);
}
