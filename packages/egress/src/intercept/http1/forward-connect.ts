/** CONNECT to a forward proxy, where the sandbox may reach every host anyway. What the proxy answers, and all that follows, is not read. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { SecretRefused, substituteHead } from "../../secrets/substitute.ts";
import type { GuestRequest } from "../model/guest.ts";
import type { HttpConnection } from "../model/http-connection.ts";
import { connectRefused, type RequestRefused } from "../model/outcome.ts";
import { requestRecord } from "../model/request-record.ts";

/** @returns why the request must not go on; undefined when it may */
export function refusalOfConnect(
  connection: HttpConnection,
  request: GuestRequest,
): RequestRefused | SecretRefused | undefined {
  const { principal, host, port, scheme, unjudged } = connection;
  if (unjudged === undefined) return connectRefused();
  try {
    substituteHead(principal.vault, { host, port, scheme }, request);
    return undefined;
  } catch (error) {
    if (error instanceof SecretRefused) return error;
    throw error;
  }
}

/** @param guest with everything in it that comes after the head of the request */
export function forwardConnect(
  connection: HttpConnection,
  request: IncomingMessage,
  asked: GuestRequest,
  guest: Duplex,
): void {
  const lines = [`CONNECT ${request.url} HTTP/1.1`];
  const raw = request.rawHeaders;
  for (let index = 0; index + 1 < raw.length; index += 2) lines.push(`${raw[index]}: ${raw[index + 1]}`);
  const record = requestRecord(connection, asked);
  guest.on("error", () => {});
  connection.unjudged!.passOn(guest, Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1")).then(
    () => record.done({ verdict: "allowed", rule: "allowed" }),
    (error: Error) => {
      record.done({ verdict: "failed", rule: "upstream-unreachable", detail: error.message });
      guest.end("HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    },
  );
}
