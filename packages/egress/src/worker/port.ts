/** Serves the egress port of one machine for as long as the sandbox is attached. */
import { setTimeout as sleep } from "node:timers/promises";
import {
  performServerHandshake,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import type { Socket } from "node:net";
import { connectPort, egressLimits, PortMeter } from "@caisson/guest-port";
import { acceptConnection } from "./connection.ts";
import { answerLookup, isLookup } from "./lookup.ts";
import type { Sandbox } from "./sandbox.ts";

/** Bounds on one guest: counts, bytes, MiB (`memory`), milliseconds. */
const limits = {
  streams: 512,
  headerBytes: 8 * 1024,
  headerPairs: 16,
  // Node extends the session's window as soon as bytes arrive, so this times the number of streams may be buffered here.
  streamWindow: 256 * 1024,
  sessionWindow: 16 * 2 ** 20,
  memory: 64,
  rejected: 100_000,
  /** Bytes of an earlier connection that may be left in the port. */
  stale: 64 * 2 ** 20,
  resetBurst: 2000,
  resetRate: 200,
} as const;
const backoff = { first: 50, most: 2_000 } as const;

export interface Port {
  /** Cuts what is under way, also where the guest does not read; resolves when nothing of it is left. */
  close(): Promise<void>;
}

export interface PortListener {
  /** Gets the error that ended a session with the guest, for the log. */
  onTrouble(error: unknown): void;
  /** The guest sent more than it may (`egressLimits`). Its port is not served any more. */
  onFlood(detail: string): void;
}

export function servePort(sandbox: Sandbox, path: string, listener: PortListener): Port {
  const ending = new AbortController();
  const meter = new PortMeter(egressLimits);
  const serving = (async () => {
    let wait: number = backoff.first;
    while (!ending.signal.aborted && !meter.over) {
      try {
        const socket = await connectPort(path, { signal: ending.signal, maximumStaleBytes: limits.stale, meter });
        socket.on("error", () => {});
        const began = performance.now();
        await serveSession(sandbox, socket, { signal: ending.signal, meter });
        // A guest that breaks the protocol at once, again and again, is served ever more slowly.
        wait = performance.now() - began > backoff.most ? backoff.first : Math.min(backoff.most, wait * 2);
      } catch (error) {
        if (!ending.signal.aborted) listener.onTrouble(error);
        wait = Math.min(backoff.most, wait * 2);
      }
      await sleep(wait, undefined, { signal: ending.signal }).catch(() => {});
    }
  })();
  void meter.exceeded.then((detail) => listener.onFlood(detail));
  return {
    close() {
      ending.abort(new Error("The sandbox was detached"));
      return serving;
    },
  };
}

/** Resolves when the session is over. */
function serveSession(
  sandbox: Sandbox,
  socket: Socket,
  { signal, meter }: { readonly signal: AbortSignal; readonly meter: PortMeter },
): Promise<void> {
  return new Promise((resolve) => {
    const connection = meter.watch(socket);
    const session: ServerHttp2Session = performServerHandshake(socket, {
      maxSessionMemory: limits.memory,
      maxHeaderListPairs: limits.headerPairs,
      maxSessionInvalidFrames: 1000,
      // Node counts over the life of the session. A stream that comes before an ended one is cleaned up is counted.
      maxSessionRejectedStreams: limits.rejected,
      maxOutstandingPings: 4,
      maxSettings: 16,
      streamResetBurst: limits.resetBurst,
      streamResetRate: limits.resetRate,
      settings: {
        maxConcurrentStreams: limits.streams,
        maxHeaderListSize: limits.headerBytes,
        initialWindowSize: limits.streamWindow,
        enablePush: false,
        enableConnectProtocol: false,
      },
    });
    session.setLocalWindowSize(limits.sessionWindow);
    const end = (): void => {
      session.destroy();
      // A session that is destroyed waits for its last write, and a guest that does not read could hold it for ever.
      socket.destroy();
    };
    signal.addEventListener("abort", end, { once: true });
    session.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      connection.follow(stream);
      if (isLookup(headers)) void answerLookup(sandbox, stream, headers);
      else void acceptConnection(sandbox, stream, headers);
    });
    session.on("error", () => {
      if (!signal.aborted) meter.broken();
      socket.destroy();
    });
    session.once("close", () => {
      signal.removeEventListener("abort", end);
      socket.destroy();
      resolve();
    });
    socket.once("close", () => session.destroy());
    // It may have been detached since the guest answered.
    if (signal.aborted) end();
  });
}
