/** Answers of the gateway itself. */
import type { ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { answerOnSocket, headerList, headerValue, listValue, type HeaderList } from "@caisson/http1";
import { limits } from "./limits.ts";
import { pageOf, pagePolicy } from "./page.ts";
import type { Refusal } from "./refusal.ts";

export const answerHeaders = ({ rule, status }: Refusal, contentType: string): HeaderList => [
  ["content-type", contentType],
  ["cache-control", "no-store"],
  ["x-content-type-options", "nosniff"],
  ["content-security-policy", pagePolicy],
  ...(status === 429 || status === 503 ? ([["retry-after", "1"]] as const) : []),
  // The rule that decided. A program in a sandbox can send this header too, so it proves nothing.
  ["caisson-gateway", rule],
];

export function refuse(response: ServerResponse, refusal: Refusal): void {
  if (response.headersSent) {
    // One that waits behind another answer has no connection yet, and Node would leave its visitor waiting for the rest.
    if (response.socket === null) response.once("socket", (socket: Duplex) => socket.destroy());
    response.destroy();
    return;
  }
  const [type, body] = bodyOf(refusal, headerList(response.req.rawHeaders));
  // The rest of the request is not read, so the connection cannot go on.
  const framing: HeaderList = [
    ["content-length", String(body.length)],
    ["connection", "close"],
  ];
  response.writeHead(refusal.status, [...answerHeaders(refusal, type), ...framing].flat());
  response.end(body);
}

/** The text of an answer of our own, and its type: a page for a browser that shows one, JSON for programs. */
export function bodyOf(refusal: Refusal, asked: HeaderList): [type: string, body: Buffer] {
  if (wantsPage(asked)) return ["text/html; charset=utf-8", Buffer.from(pageOf(refusal))];
  const { rule, message } = refusal;
  return ["application/json", Buffer.from(`${JSON.stringify({ code: rule, message })}\n`)];
}

function wantsPage(asked: HeaderList): boolean {
  const destination = headerValue(asked, "sec-fetch-dest");
  if (destination !== undefined && !/^(document|iframe|frame)$/.test(destination)) return false;
  return /\btext\/html\b/i.test(listValue(asked, "accept"));
}

const plainText = "text/plain; charset=utf-8";

/** For requests that the parser rejected: they have no response object. */
export function refuseOnSocket(socket: Duplex, refusal: Refusal): void {
  answerOnSocket(socket, refusal.status, answerHeaders(refusal, plainText), `${refusal.message}\n`, limits.linger);
}
