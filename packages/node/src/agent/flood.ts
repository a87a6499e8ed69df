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
  /** Streams opened so far, as of the last inspection. */
  opened: number;
}

interface Streams {
  opened: number;
  open: number;
}

const watched = new Set<Watched>();
const streams = new WeakMap<ClientHttp2Session, Streams>();
let timer: NodeJS.Timeout | undefined;

/** @returns a function that ends the watch */
export function watchFlood(session: ClientHttp2Session, socket: Socket): () => void {
  const entry: Watched = { session, socket, received: socket.bytesRead, opened: 0 };
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

/** Told by everything that opens a stream. */
export function countStream(session: ClientHttp2Session, change: 1 | -1): void {
  const count = streamsOf(session);
  count.open += change;
  if (change === 1) count.opened++;
}

function streamsOf(session: ClientHttp2Session): Streams {
  let count = streams.get(session);
  if (count === undefined) streams.set(session, (count = { opened: 0, open: 0 }));
  return count;
}

function inspect(): void {
  for (const entry of watched) {
    const received = entry.socket.bytesRead;
    const { open, opened } = streamsOf(entry.session);
    // Nothing was asked for in this whole period, and nothing before it is still being answered.
    const idle = open === 0 && opened === entry.opened;
    if (idle && received - entry.received > idleBytesPerPeriod)
      entry.session.destroy(new Error("the guest floods its control port"));
    entry.received = received;
    // Answers of calls that just ended may still be under way: counts as idle only from the next inspection on.
    entry.opened = open === 0 ? opened : -1;
  }
}
