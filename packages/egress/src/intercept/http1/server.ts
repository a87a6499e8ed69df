/** The HTTP/1.1 that guests speak: parsed strictly, one request at a time. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Conversation } from "../model/http-connection.ts";
import { exchange } from "../exchange/exchange.ts";
import type { GuestRequest } from "../model/guest.ts";
import { Http1Reply, UpgradeReply } from "./reply.ts";
import { explain, outcomeBody, outcomeOf, Refusal, type RefusalRule } from "../model/refusal.ts";
import { requestRecord } from "../model/request-record.ts";

/** Bytes and milliseconds. */
const limits = { headerBytes: 64 * 1024, headers: 20_000, keepAlive: 75_000, check: 5_000, linger: 5_000 } as const;

export interface Http1Server {
  /** Takes over a connection whose bytes are HTTP/1.1. */
  serve(socket: Duplex, conversation: Conversation): void;
  close(): void;
}

export function createHttp1Server(): Http1Server {
  const conversations = new WeakMap<Duplex, Conversation>();
  const of = (socket: Duplex): Conversation => conversations.get(socket)!;
  /** Requests of a connection whose answers are not finished. */
  const unanswered = new WeakMap<Duplex, number>();
  /** The newest request of a connection. */
  const newest = new WeakMap<Duplex, IncomingMessage>();
  const count = (socket: Duplex, change: 1 | -1): void =>
    void unanswered.set(socket, (unanswered.get(socket) ?? 0) + change);
  const server: Server = createServer({
    insecureHTTPParser: false,
    requireHostHeader: false,
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headers,
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAlive,
    connectionsCheckingInterval: limits.check,
    // Offers of other protocols (h2c) are ignored, as RFC 9110 7.8 lets a server do; only WebSocket is understood.
    shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === "websocket",
  });
  server.maxHeadersCount = 256;
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    response.sendDate = false;
    const { socket } = request;
    const conversation = of(socket);
    newest.set(socket, request);
    count(socket, 1);
    response.once("close", () => count(socket, -1));
    const reply = new Http1Reply(request, response);
    const unclear = ambiguity(request);
    if (unclear === undefined) void exchange(conversation, guestRequest(request, "http/1.1"), reply);
    else refuse(conversation, request, reply, 400, "malformed-request", unclear);
  };
  server.on("request", handle);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    // The guest sends its body only when it is asked to; reading is asking.
    response.writeContinue();
    handle(request, response);
  });
  server.on("checkExpectation", handle);
  /**
   * A CONNECT or an upgrade that comes before the answers to what was asked earlier: whoever means it waits for them. Node hands the
   * connection over all the same, with the earlier answer still attached to it.
   */
  const tooEarly = (request: IncomingMessage, socket: Duplex): boolean => {
    if ((unanswered.get(socket) ?? 0) === 0) return false;
    socket.on("error", () => {});
    socket.destroy();
    requestRecord(of(socket), guestRequest(request, "http/1.1")).done({
      verdict: "refused",
      rule: "malformed-request",
      detail: "A change of protocol was asked for before the answers to earlier requests.",
    });
    return true;
  };
  server.on("connect", (request: IncomingMessage, socket: Duplex) => {
    if (tooEarly(request, socket)) return;
    refuse(
      of(socket),
      request,
      new UpgradeReply(request, socket),
      403,
      "connect-in-http",
      "A tunnel inside a conversation with an allowed host is not possible. Connect to the other host directly.",
    );
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (tooEarly(request, socket)) return;
    if (head.length > 0) socket.unshift(head);
    const reply = new UpgradeReply(request, socket);
    const unclear = ambiguity(request) ?? upgradeFault(request);
    if (unclear === undefined) void exchange(of(socket), guestRequest(request, "websocket"), reply);
    else refuse(of(socket), request, reply, 400, "malformed-request", unclear);
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    // A connection that ends in the middle of a body belongs to a request that has a record already.
    const recorded = error.code === "HPE_INVALID_EOF_STATE" && newest.get(socket)?.complete === false;
    const garbage = answerGarbage(of(socket), error, socket);
    if (garbage !== undefined && !recorded) recordGarbage(of(socket), garbage);
  });
  return {
    serve(socket, conversation) {
      conversations.set(socket, conversation);
      lingerAfterLast(socket);
      server.emit("connection", socket);
      // It was paused while its first bytes were looked at.
      socket.resume();
    },
    close: () => void server.close(),
  };
}

/**
 * After the last answer Node destroys a TLS socket as soon as it has handed it the bytes. The stream below is then reset with
 * the answer still in it, so the end is left to the guest, for a while.
 */
function lingerAfterLast(socket: Duplex): void {
  const closing = socket as Duplex & { destroySoon?: () => void };
  closing.destroySoon = () => {
    socket.end();
    setTimeout(() => socket.destroy(), limits.linger).unref();
  };
}

/** What the parser takes but another parser might read in another way. */
function ambiguity(request: IncomingMessage): string | undefined {
  const values = (name: string): string[] =>
    request.rawHeaders.filter((_, index) => index % 2 === 1 && request.rawHeaders[index - 1]!.toLowerCase() === name);
  const [lengths, codings] = [values("content-length"), values("transfer-encoding")];
  if (lengths.length > 1 || lengths.some((value) => !/^[0-9]{1,16}$/.test(value)))
    return "The request has an ambiguous Content-Length.";
  if (codings.length > 1 || codings.some((value) => value.toLowerCase() !== "chunked"))
    return "The only transfer coding that is taken is chunked.";
  if (lengths.length > 0 && codings.length > 0) return "The request has both Content-Length and Transfer-Encoding.";
  if (codings.length > 0 && request.httpVersion !== "1.1") return "HTTP/1.0 has no transfer codings.";
  if (!request.httpVersion.startsWith("1.")) return "Unknown version of HTTP.";
  return undefined;
}

function upgradeFault(request: IncomingMessage): string | undefined {
  if (
    request.method !== "GET" ||
    request.headers["content-length"] !== undefined ||
    request.headers["transfer-encoding"] !== undefined
  ) {
    return "A WebSocket begins with a GET request without body.";
  }
  return undefined;
}

function guestRequest(request: IncomingMessage, protocol: GuestRequest["protocol"]): GuestRequest {
  const headers: [string, string][] = [];
  for (let index = 0; index < request.rawHeaders.length; index += 2)
    headers.push([request.rawHeaders[index]!.toLowerCase(), request.rawHeaders[index + 1]!]);
  const length = request.headers["content-length"];
  const hasBody =
    protocol === "http/1.1" &&
    (request.headers["transfer-encoding"] !== undefined || (length !== undefined && Number(length) >= 0));
  return {
    protocol,
    method: request.method ?? "",
    target: request.url ?? "",
    authorities: headers.filter(([name]) => name === "host").map(([, value]) => value),
    headers,
    ...(hasBody && { body: request }),
    ...(hasBody && length !== undefined && { bodyLength: Number(length) }),
    trailers: () => Object.entries(request.trailers).map(([name, value]) => [name, value ?? ""]),
  };
}

function refuse(
  conversation: Conversation,
  request: IncomingMessage,
  reply: Http1Reply | UpgradeReply,
  status: number,
  rule: RefusalRule,
  message: string,
): void {
  const outcome = outcomeOf(new Refusal(status, rule, message));
  explain(reply, outcome, conversation.host.text, true);
  requestRecord(conversation, guestRequest(request, "http/1.1")).done({
    verdict: "refused",
    rule,
    status,
    detail: message,
  });
}

interface Garbage {
  readonly status: number;
  readonly detail: string;
}

/**
 * What the parser did not take. Node has no request object for it, so the answer is written by hand.
 * @returns what was answered, if anything
 */
function answerGarbage(conversation: Conversation, error: NodeJS.ErrnoException, socket: Duplex): Garbage | undefined {
  if (error.code === "ECONNRESET") {
    socket.destroy();
    return undefined;
  }
  // What comes after the first fault is faulty as well; the answer is on its way and must not be cut off.
  if (!socket.writable) return undefined;
  const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  const detail = `The request is not HTTP/1.1 as the standard has it (${error.code ?? "unknown"}).`;
  const body = outcomeBody(outcomeOf(new Refusal(status, "malformed-request", detail)), conversation.host.text);
  socket.end(
    `HTTP/1.1 ${status} Refused\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\ncaisson-reason: malformed-request\r\nconnection: close\r\n\r\n${body.toString()}`,
  );
  setTimeout(() => socket.destroy(), limits.linger).unref();
  return { status, detail };
}

function recordGarbage(conversation: Conversation, garbage: Garbage): void {
  const unknown: GuestRequest = {
    protocol: "http/1.1",
    method: "",
    target: "",
    authorities: [],
    headers: [],
    trailers: () => [],
  };
  requestRecord(conversation, unknown).done({ verdict: "refused", rule: "malformed-request", ...garbage });
}
