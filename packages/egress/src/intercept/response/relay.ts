/** What brings a response to the guest. */
import type { UpstreamCall, UpstreamHandler } from "../../upstream/request.ts";

export interface Relay extends Omit<UpstreamHandler, "upgraded"> {
  /** Set right after the call was made. */
  call: UpstreamCall | undefined;
  /** 0 until the response has begun. */
  readonly status: number;
  readonly bytesIn: number;
}
