/**
 * Ends a session whose guest sends data that nobody requested. HTTP/2 allows any number of control frames (PING, SETTINGS,
 * WINDOW_UPDATE). Each is small and legal, and together they could keep this event loop busy. So a session that receives much while
 * no stream is open is closed.
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

/** Called by all code that opens a stream. */
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
    // No stream was opened in this whole period, and none from before is still open.
    const idle = open === 0 && opened === entry.opened;
    if (idle && received - entry.received > idleBytesPerPeriod)
      entry.session.destroy(new Error("the guest floods its control port"));
    entry.received = received;
    // Answers of calls that just ended may still arrive: the session counts as idle only from the next inspection on.
    entry.opened = open === 0 ? opened : -1;
  }
}
