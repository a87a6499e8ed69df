/** A request to an upstream and its response, whichever protocol carries them. */
import type { Duplex, Readable } from "node:stream";
import type { HeaderList } from "@caisson/http1";

export interface UpstreamRequest {
  readonly method: string;
  /** Path and query, `*`, or for a forward proxy a URL. */
  readonly target: string;
  /** Canonical host, with the port unless it is the scheme's own; where a request may name any host, what it names. */
  readonly authority: string;
  /** Lower-case names; no connection headers, no `host`. May hold `content-length`. */
  readonly headers: HeaderList;
  readonly body?: Readable;
  /** Trailers of the request, known when the body has ended. */
  readonly trailers?: () => HeaderList;
  readonly upgrade?: "websocket";
}

/** Called in this order: head, data..., end; or upgraded; or fail at any time, once. */
export interface UpstreamHandler {
  /** `ended`: there is no body. */
  head(status: number, headers: HeaderList, ended: boolean): void;
  data(chunk: Buffer): void;
  end(trailers: HeaderList): void;
  upgraded?(socket: Duplex, headers: HeaderList): void;
  fail(error: Error): void;
}

export interface UpstreamCall {
  pause(): void;
  resume(): void;
  abort(reason: Error): void;
}
