/**
 * Ends a session whose guest sends without being asked. HTTP/2 lets a peer send control frames (PING, SETTINGS, WINDOW_UPDATE) for
 * ever; each is small and legal, and together they could keep this event loop busy. Answers to calls carry data, so a session
 * that receives much more than its streams delivered is at fault.
 */
import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";

const periodMs = 1000;
/** Bytes per period without any stream open. Trailing frames of calls that just ended stay far below. */
const idleBytesPerPeriod = 4 * 2 ** 20;

interface Watched {
  readonly session: ClientHttp2Session;
  readonly socket: Socket;
  received: number;
  active: boolean;
}

const watched = new Set<Watched>();
let timer: NodeJS.Timeout | undefined;

/** @returns a function that ends the watch */
export function watchFlood(session: ClientHttp2Session, socket: Socket): () => void {
  const entry: Watched = { session, socket, received: socket.bytesRead, active: true };
  watched.add(entry);
  // One timer for all machines; it keeps no process alive.
  timer ??= setInterval(inspect, periodMs).unref();
  return () => {
    watched.delete(entry);
    if (watched.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

function inspect(): void {
  for (const entry of watched) {
    const received = entry.socket.bytesRead;
    const { outboundQueueSize } = entry.session.state;
    // A peer that does not take the answers to its own pings lets them pile up.
    const piled = outboundQueueSize !== undefined && outboundQueueSize > 4096;
    const streams = openStreams(entry.session);
    if ((received - entry.received > idleBytesPerPeriod && streams === 0 && !entry.active) || piled) {
      entry.session.destroy(new Error("the guest floods its control port"));
    }
    entry.received = received;
    entry.active = streams > 0;
  }
}

const streamCounts = new WeakMap<ClientHttp2Session, number>();

function openStreams(session: ClientHttp2Session): number {
  return streamCounts.get(session) ?? 0;
}

/** Told by everything that opens a stream. */
export function countStream(session: ClientHttp2Session, change: 1 | -1): void {
  streamCounts.set(session, openStreams(session) + change);
}
