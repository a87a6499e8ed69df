/**
 * Live streams of audit events (server-sent events). What a client has not read yet waits in one queue of bounded size; a client that lets
 * it fill up is disconnected at once.
 */
import { CaissonError } from "@caisson/protocol";
import type { AuditLog } from "./log.ts";
import type { AuditEntry } from "./store.ts";

/** Milliseconds between comments that keep proxies from closing a quiet stream. */
const keepAlive = 15_000;
/** Bytes that may wait for a slow client. With more, its stream ends; it can connect again with `since`. */
const maxWaiting = 2 ** 20;

export interface LiveStreamRequest {
  readonly orgId: string;
  readonly matches: (entry: AuditEntry) => boolean;
  /** Cuts the connection of the client, whatever is being written to it. */
  readonly disconnect: () => void;
}

export class LiveStreams {
  readonly #audit: AuditLog;
  readonly #most: number;
  readonly #open = new Map<string, number>();

  /** @param most streams of one organisation at the same time */
  constructor(audit: AuditLog, most: number) {
    this.#audit = audit;
    this.#most = most;
  }

  /**
   * The body of an answer. It ends when its client disconnects or does not read.
   * @throws CaissonError `resource_exhausted`
   */
  open({ orgId, matches, disconnect }: LiveStreamRequest): ReadableStream<Uint8Array> {
    const open = this.#open.get(orgId) ?? 0;
    if (open >= this.#most)
      throw new CaissonError(
        "resource_exhausted",
        `This organisation already reads ${open} audit streams, the limit. Close one first.`,
      );
    this.#open.set(orgId, open + 1);
    let release = () => {};
    const start = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      const waiting = () => maxWaiting - (controller.desiredSize ?? 0);
      const write = (text: string): void => {
        controller.enqueue(Buffer.from(text));
        if (waiting() > maxWaiting) cut();
      };
      const cut = (): void => {
        release();
        // Cancels the stream, which drops what waits.
        disconnect();
      };
      const unsubscribe = this.#audit.subscribe(orgId, ({ entry, json }) => {
        if (matches(entry)) write(`data: ${json}\nid: ${entry.id}\n\n`);
      });
      let behind = false;
      const timer = setInterval(() => {
        // Little may wait for a client that has stalled, when there are few events.
        if (behind && waiting() > 0) return cut();
        behind = waiting() > 0;
        write(": keep-alive\n\n");
      }, keepAlive);
      release = () => {
        release = () => {};
        clearInterval(timer);
        unsubscribe();
        this.#leave(orgId);
      };
      write(": open\n\n");
    };
    const size = (chunk: Uint8Array) => chunk.length;
    return new ReadableStream({ start, cancel: () => release() }, { highWaterMark: maxWaiting, size });
  }

  #leave(orgId: string): void {
    const left = (this.#open.get(orgId) ?? 1) - 1;
    if (left === 0) this.#open.delete(orgId);
    else this.#open.set(orgId, left);
  }
}
