/** What becomes of a request's body when its answer is there before all of it. On HTTP/1.1 it goes with the connection. */
import type { GuestRequest } from "../model/guest.ts";
import type { RequestRecord } from "../model/request-record.ts";

/** Milliseconds in which nothing more is taken of a body whose request has been answered; then nobody reads it. */
const patience = 3_000;

/** After a refusal or a failure. */
export function dropRest({ protocol, body }: GuestRequest): void {
  if (protocol === "h2") body?.destroy();
}

/** A host may answer early and read on, or neither read nor say so; the stream would never end, and keep its place in the session. */
export function leaveRest({ protocol, body }: GuestRequest, record: RequestRecord): void {
  if (protocol !== "h2" || body === undefined || body.closed) return;
  let taken = record.bytesOut;
  const timer = setInterval(() => {
    if (record.bytesOut === taken) body.destroy();
    taken = record.bytesOut;
  }, patience).unref();
  body.once("close", () => clearInterval(timer));
}
