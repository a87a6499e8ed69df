/** One request of a visitor and the way back to it, whatever version of HTTP it came by. */
import type { Readable } from "node:stream";
import type { HeaderList } from "@caisson/http1";
import type { Refusal } from "./refusal.ts";

export interface Exchange {
  readonly version: "1.0" | "1.1" | "2";
  readonly method: string;
  /** The target, as the visitor sent it. Not checked. */
  readonly target: string;
  /** The fields, without the pseudo fields of HTTP/2. */
  readonly headers: HeaderList;
  /** The host that the request is addressed to, as the visitor sent it; undefined when there is none or more than one. */
  readonly authority: string | undefined;
  /** What makes the request ambiguous, as a sentence for the visitor. */
  readonly fault: string | undefined;
  /** The hostname of the TLS handshake. */
  readonly servername: string | undefined;
  /** Address of the other end of the connection; undefined when it has disconnected. */
  readonly peer: string | undefined;
  /** Absent when the request has none. Destroying it does not end the exchange. */
  readonly body: Readable | undefined;
  /** Of the answer; undefined while there is none. */
  readonly status: number | undefined;
  /** The rule of the refusal, when the gateway itself answered. */
  readonly rule: string | undefined;
  /** The visitor's trailers. Complete once the body has ended. */
  trailers(): HeaderList;
  /**
   * Begins the answer.
   * @param headers end-to-end fields
   * @param alone nothing follows them: in gRPC that means something
   * @throws Error when they cannot be written
   */
  begin(status: number, headers: HeaderList, alone?: boolean): void;
  /** @returns false: the caller must wait for `onDrain` */
  write(chunk: Buffer): boolean;
  end(trailers?: HeaderList): void;
  /** Answers in place of the program. Cuts the answer off when one has begun. */
  refuse(refusal: Refusal): void;
  onDrain(listener: () => void): void;
  /** The answer was sent, or the visitor has disconnected. Called at once if that was before. */
  onClose(listener: () => void): void;
  /** Bytes that came so far on its connection, or its stream. Only the growth means something. */
  received(): number;
  /** Bytes since the last call, in either direction. */
  traffic(): { readonly bytesIn: number; readonly bytesOut: number };
}
