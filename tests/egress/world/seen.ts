/** One request as it arrived at a played host. */
import type { IncomingHttpHeaders } from "node:http2";

export interface Seen {
  readonly protocol: "http/1.1" | "h2";
  readonly method: string;
  readonly target: string;
  /** Host header or `:authority`. */
  readonly authority: string;
  /** Every header as `name: value`, one a line, names in lower case. */
  readonly head: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}
