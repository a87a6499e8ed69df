/** TCP connections made inside the sandbox: HTTP/2 CONNECT on the control port. */
import { constants } from "node:http2";
import type { Duplex } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import type { AgentConnection } from "./connection.ts";
import { openRequest, responseStatus } from "./request.ts";

const deadlineMs = 30_000;

/** @throws CaissonError `unavailable`, `policy_denied`, `timeout`, `cancelled`, `invalid_argument` */
export async function dial(
  connection: AgentConnection,
  host: string,
  port: number,
  signal?: AbortSignal,
): Promise<Duplex> {
  if (!Number.isInteger(port) || port < 1 || port > 65535)
    throw new CaissonError("invalid_argument", `${port} is not a TCP port. Use a whole number from 1 to 65535.`);
  if (!/^[A-Za-z0-9.:_-]{1,253}$/.test(host))
    throw new CaissonError("invalid_argument", "The host is not a valid hostname or IP address.");
  signal?.throwIfAborted();
  const authority = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const stream = await openRequest(connection, { ":method": "CONNECT", ":authority": authority }, false);
  // The guest may reset it at any moment, also when nobody listens; that must not end this process.
  stream.on("error", () => undefined);
  let reason: CaissonError | undefined;
  const giveUp = (error: CaissonError) => {
    reason = error;
    stream.close(constants.NGHTTP2_CANCEL);
  };
  const timer = setTimeout(
    () =>
      giveUp(
        new CaissonError(
          "timeout",
          `Nothing answered at ${authority} inside the sandbox within ${deadlineMs / 1000} seconds.`,
        ),
      ),
    deadlineMs,
  );
  const onAbort = () => giveUp(new CaissonError("cancelled", "Connecting was cancelled."));
  signal?.addEventListener("abort", onAbort);
  try {
    const { status, headers } = await responseStatus(stream);
    if (status === 200) return stream;
    const detail = reasonOf(headers);
    stream.close();
    if (status === 403)
      throw new CaissonError("policy_denied", `The sandbox may not connect to ${authority}${detail}.`);
    throw new CaissonError("unavailable", `The sandbox cannot connect to ${authority}${detail}.`);
  } catch (error) {
    throw reason ?? error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** The guest wrote the reason: it is used only when it is printable and short. */
function reasonOf(headers: Readonly<Record<string, unknown>>): string {
  const text = headers["caisson-reason"];
  return typeof text === "string" && /^[\x20-\x7e]{1,200}$/.test(text) ? `: ${text}` : "";
}
