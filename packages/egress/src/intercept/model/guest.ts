/** A request as the guest made it, and the reply to it, whichever protocol it used. */
import type { Duplex, Readable } from "node:stream";
import type { HeaderList } from "@caisson/http1";

/**
 * Bytes that may be queued for the guest before the upstream is paused. A smaller value would pause it after every few records, and
 * stopping and starting costs more than forwarding.
 */
export const mayWait = 256 * 1024;

export interface GuestRequest {
  readonly protocol: "http/1.1" | "h2" | "websocket";
  readonly method: string;
  /** As sent: path and query, an absolute URL, or `*`. */
  readonly target: string;
  /** Every Host header and `:authority`. */
  readonly authorities: readonly string[];
  /** Lower-case names; without pseudo headers. */
  readonly headers: HeaderList;
  readonly body?: Readable;
  /** Bytes, when announced. */
  readonly bodyLength?: number;
  trailers(): HeaderList;
}

export interface GuestReply {
  readonly started: boolean;
  /** `ended`: there is no body. `trailers`: there may be trailers, so the end has to wait for them. */
  head(status: number, headers: HeaderList, options: { ended: boolean }): void;
  /** False when the guest is slower than we are; `onDrain` reports when to go on. */
  write(chunk: Buffer): boolean;
  end(trailers: HeaderList): void;
  /** Ends the exchange so that the guest cannot take it for complete. */
  abort(): void;
  /** Switches to another protocol: the raw connection after a 101. */
  upgrade?(headers: HeaderList): Duplex;
  onDrain(listener: () => void): void;
  /** The guest disconnected before the end. */
  onGone(listener: () => void): void;
}
