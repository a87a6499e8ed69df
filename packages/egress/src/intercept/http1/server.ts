/** HTTP/1.1 of guests: parsed strictly, one request at a time. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import {
  answerOnSocket,
  endSoon,
  framingFault,
  headerList,
  headerValue,
  parserRefusal,
  PendingAnswers,
  strictServerOptions,
  upgradeFault,
} from "@caisson/http1";
import type { HttpConnection } from "../model/http-connection.ts";
import { exchange } from "../exchange/exchange.ts";
import type { GuestRequest } from "../model/guest.ts";
import { Http1Reply, UpgradeReply } from "./reply.ts";
import { forwardConnect, refusalOfConnect } from "./forward-connect.ts";
import { explain, outcomeBody, outcomeHeaders, outcomeOf, RequestRefused } from "../model/outcome.ts";
import type { SecretRefused } from "../../secrets/substitute.ts";
import { requestRecord } from "../model/request-record.ts";

/** Bytes and milliseconds. */
const limits = { headerBytes: 64 * 1024, headers: 20_000, keepAlive: 75_000, linger: 5_000 } as const;

export interface Http1Server {
  /** Takes over a connection whose bytes are HTTP/1.1. */
  serve(socket: Duplex, connection: HttpConnection): void;
  close(): void;
}

export function createHttp1Server(): Http1Server {
  const connections = new WeakMap<Duplex, HttpConnection>();
  const of = (socket: Duplex): HttpConnection => connections.get(socket)!;
  const pending = new PendingAnswers();
  /** The newest request of a connection. */
  const newest = new WeakMap<Duplex, IncomingMessage>();
  const server: Server = createServer(strictServerOptions(limits));
  server.maxHeadersCount = 256;
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    response.sendDate = false;
    const { socket } = request;
    const connection = of(socket);
    newest.set(socket, request);
    pending.add(socket, response);
    const reply = new Http1Reply(request, response);
    const asked = guestRequest(request, "http/1.1");
    const fault = framingFault(asked.headers, request.httpVersion);
    if (fault === undefined) void exchange(connection, asked, reply);
    else refuse(connection, asked, reply, new RequestRefused(400, "malformed-request", fault));
  };
  server.on("request", handle);
  server.on("checkContinue", (request: IncomingMessage, response: ServerResponse) => {
    // The guest sends its body only when it is asked to; reading is asking.
    response.writeContinue();
    handle(request, response);
  });
  server.on("checkExpectation", handle);
  /**
   * A CONNECT or an upgrade that came before the answers to earlier requests. A client that is serious waits for them. Node hands the
   * connection over all the same, with an earlier answer still attached to it.
   */
  const tooEarly = (request: IncomingMessage, socket: Duplex): boolean => {
    if (pending.count(socket) === 0) return false;
    socket.on("error", () => {});
    socket.destroy();
    requestRecord(of(socket), guestRequest(request, "http/1.1")).done({
      verdict: "refused",
      rule: "malformed-request",
      detail: "The request asks for another protocol before earlier requests have their answers.",
    });
    return true;
  };
  server.on("connect", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (tooEarly(request, socket)) return;
    const connection = of(socket);
    const asked = guestRequest(request, "http/1.1");
    const refused = refusalOfConnect(connection, asked);
    if (refused !== undefined) return refuse(connection, asked, new UpgradeReply(request, socket), refused);
    if (head.length > 0) socket.unshift(head);
    forwardConnect(connection, request, asked, socket);
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    if (tooEarly(request, socket)) return;
    if (head.length > 0) socket.unshift(head);
    const reply = new UpgradeReply(request, socket);
    const asked = guestRequest(request, "websocket");
    const fault = framingFault(asked.headers, request.httpVersion) ?? upgradeFault(asked.headers, asked.method);
    if (fault === undefined) void exchange(of(socket), asked, reply);
    else
      refuse(
        of(socket),
        { ...asked, protocol: "http/1.1" },
        reply,
        new RequestRefused(400, "malformed-request", fault),
      );
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    // A connection that ends in the middle of a body belongs to a request that has a record already.
    const recorded = error.code === "HPE_INVALID_EOF_STATE" && newest.get(socket)?.complete === false;
    const refused = refuseUnparsed(of(socket), error, socket);
    if (refused !== undefined && !recorded) recordUnparsed(of(socket), refused);
  });
  return {
    serve(socket, connection) {
      connections.set(socket, connection);
      lingerAfterLast(socket);
      server.emit("connection", socket);
      // It was paused while its first bytes were read.
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
  closing.destroySoon = () => endSoon(socket, limits.linger);
}

function guestRequest(request: IncomingMessage, protocol: GuestRequest["protocol"]): GuestRequest {
  const headers = headerList(request.rawHeaders);
  const length = headerValue(headers, "content-length");
  const hasBody =
    protocol === "http/1.1" &&
    (headerValue(headers, "transfer-encoding") !== undefined || (length !== undefined && Number(length) >= 0));
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
  connection: HttpConnection,
  request: GuestRequest,
  reply: Http1Reply | UpgradeReply,
  refused: RequestRefused | SecretRefused,
): void {
  explain(reply, outcomeOf(refused), connection.host.text, true);
  const { status, rule, message } = outcomeOf(refused);
  requestRecord(connection, request).done({ verdict: "refused", rule, status, detail: message });
}

/**
 * Answers what the parser rejected.
 * @returns the answer; undefined when none was written
 */
function refuseUnparsed(
  connection: HttpConnection,
  error: NodeJS.ErrnoException,
  socket: Duplex,
): RequestRefused | undefined {
  const refusal = parserRefusal(error);
  if (refusal === undefined) {
    socket.destroy();
    return undefined;
  }
  const refused = new RequestRefused(refusal.status, "malformed-request", refusal.message);
  const outcome = outcomeOf(refused);
  const body = outcomeBody(outcome, connection.host.text).toString();
  return answerOnSocket(socket, refused.status, outcomeHeaders(outcome), body, limits.linger) ? refused : undefined;
}

function recordUnparsed(connection: HttpConnection, { status, rule, message }: RequestRefused): void {
  const unknown: GuestRequest = {
    protocol: "http/1.1",
    method: "",
    target: "",
    authorities: [],
    headers: [],
    trailers: () => [],
  };
  requestRecord(connection, unknown).done({ verdict: "refused", rule, status, detail: message });
}
