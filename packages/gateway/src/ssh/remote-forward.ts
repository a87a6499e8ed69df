/**
 * Ports and UNIX sockets inside the sandbox that lead to the client's side (`ssh -R`). The agent listens, inside; nothing listens on the
 * node.
 */
import type { EventEmitter } from "node:events";
import { isIP } from "node:net";
import type { AcceptedSocket, ListenPlace, SshRoute } from "@caisson/protocol";
import type { Connection, ServerChannel } from "ssh2";
import { leadOut, type FromInsideOptions } from "./from-inside.ts";
import { sshLimits } from "./limits.ts";

export interface RemoteForwardOptions extends FromInsideOptions {
  readonly connection: Connection;
  readonly route: SshRoute;
}

type Accept = ((port?: number) => void) | undefined;
type Reject = (() => void) | undefined;

interface Info {
  readonly socketPath?: string;
  readonly bindAddr?: string;
  readonly bindPort?: number;
}

/** What a client asks for and cancels by the same words. */
type Wanted = { readonly path: string } | { readonly host: string; readonly port: number };

export function serveRemoteForwards({ connection, route, ...options }: RemoteForwardOptions): void {
  const { gone, log } = options;
  const listening = new Map<string, AbortController>();
  gone.addEventListener("abort", () => listening.forEach((stop) => stop.abort()), { once: true });

  const answer = (accept: Accept, reject: Reject, name: string, info: Info) => {
    const wanted = wantedBy(info);
    if (wanted === undefined) return reject?.();
    if (name === "tcpip-forward" || name === "streamlocal-forward@openssh.com") {
      start(wanted, (port) => accept?.(port)).catch((error: unknown) => {
        log.debug({ err: error }, "a port inside was not forwarded");
        reject?.();
      });
      return;
    }
    const stop = listening.get(keyOf(wanted));
    if (stop === undefined) return reject?.();
    stop.abort();
    accept?.();
  };
  // The library's types have an overload for each kind of request.
  (connection as EventEmitter).on("request", answer);

  async function start(wanted: Wanted, started: (port: number) => void): Promise<void> {
    if (listening.size >= sshLimits.remoteForwards) throw new Error("too many forwarded ports");
    const key = keyOf(wanted);
    if (listening.has(key)) throw new Error("the client already listens there");
    const stop = new AbortController();
    listening.set(key, stop);
    try {
      const { port, accepted } = await route.agent.listen(placeOf(wanted), { signal: stop.signal });
      // With port 0 the client cancels, and is asked for a channel, by the port that it got.
      const bound = "port" in wanted ? { host: wanted.host, port } : wanted;
      listening.delete(key);
      listening.set(keyOf(bound), stop);
      started(port);
      leadOut(accepted, (one) => open(one, bound), options)
        .catch((error: unknown) => log.debug({ err: error }, "a port inside is no longer forwarded"))
        .finally(() => {
          stop.abort();
          listening.delete(keyOf(bound));
        });
    } catch (error) {
      stop.abort();
      listening.delete(key);
      throw error;
    }
  }

  /** Asks the client for a channel. */
  function open({ peerHost, peerPort }: AcceptedSocket, bound: Wanted): Promise<ServerChannel> {
    return new Promise((resolve, reject) => {
      const opened = (error: Error | undefined, made: ServerChannel) =>
        error === undefined ? resolve(made) : reject(error);
      if ("path" in bound) connection.openssh_forwardOutStreamLocal(bound.path, opened);
      else connection.forwardOut(bound.host, bound.port, peerHost, peerPort, opened);
    });
  }
}

function wantedBy(info: Info): Wanted | undefined {
  if (info.socketPath !== undefined) return info.socketPath.length > 107 ? undefined : { path: info.socketPath };
  if (info.bindAddr === undefined || info.bindPort === undefined || info.bindPort > 65_535) return undefined;
  return { host: info.bindAddr, port: info.bindPort };
}

function keyOf(wanted: Wanted): string {
  return "path" in wanted ? wanted.path : `${wanted.port} ${wanted.host}`;
}

/** RFC 4254, 7.1. Whatever is no address is `localhost`: nothing inside has another one. */
function placeOf(wanted: Wanted): ListenPlace {
  if ("path" in wanted) return wanted;
  const { host, port } = wanted;
  if (host === "" || host === "*" || host === "0.0.0.0") return { host: "", port };
  return { host: isIP(host) === 0 ? "127.0.0.1" : host, port };
}
