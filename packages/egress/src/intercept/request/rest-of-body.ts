/** The rest of a request's body when the response has come before all of it was sent. On HTTP/1.1 it ends with the connection. */
import type { GuestRequest } from "../model/guest.ts";
import type { RequestRecord } from "../model/request-record.ts";

/** Milliseconds without progress after which the body of an answered request is no longer read. */
const patience = 3_000;

/** After a refusal or a failure. */
export function dropRest({ protocol, body }: GuestRequest): void {
  if (protocol === "h2") body?.destroy();
}

/** An upstream may answer early and read on, or stop reading without a sign. The stream would never end then, and keep its place in the session. */
export function leaveRest({ protocol, body }: GuestRequest, record: RequestRecord): void {
  if (protocol !== "h2" || body === undefined || body.closed) return;
  let taken = record.bytesOut;
  const timer = setInterval(() => {
    if (record.bytesOut === taken) body.destroy();
    taken = record.bytesOut;
  }, patience).unref();
  body.once("close", () => clearInterval(timer));
}
