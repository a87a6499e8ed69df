/** Visitors who announce a body and then send it drop by drop, to hold connections (slow loris). */
import { headerValue } from "@caisson/http1";
import type { Exchange } from "./exchange.ts";
import { limits } from "./limits.ts";

/** @returns ends the watch */
export function endSlowBody(exchange: Exchange): () => void {
  const { body } = exchange;
  if (body === undefined || headerValue(exchange.headers, "content-length") === undefined) return () => undefined;
  let before = exchange.received();
  const timer = setInterval(() => {
    const now = exchange.received();
    const came = now - before;
    before = now;
    if (body.readableEnded || body.destroyed) return clearInterval(timer);
    // What has come waits for the program: it is slow, not the visitor.
    if (body.readableLength > 0 || came >= (limits.slowestBody * limits.slowBody) / 1000) return;
    clearInterval(timer);
    exchange.refuse({
      status: 408,
      rule: "slow-body",
      message: `The body of the request came too slowly: less than ${limits.slowestBody} bytes in a second.`,
    });
  }, limits.slowBody).unref();
  return () => clearInterval(timer);
}
