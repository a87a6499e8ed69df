/** A request by HTTP/1.1. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import { framingFault, headerList, isWebSocketUpgrade, listValue, upgradeFault, type HeaderList } from "@caisson/http1";
import { refuse } from "./answer.ts";
import type { Refusal } from "./refusal.ts";
import type { Exchange } from "./exchange.ts";

/** Bytes of a connection that earlier exchanges have counted. */
const counted = new WeakMap<Socket, { in: number; out: number }>();

export class Http1Exchange implements Exchange {
  readonly version: "1.0" | "1.1";
  readonly method: string;
  readonly target: string;
  readonly headers: HeaderList;
  readonly authority: string | undefined;
  readonly fault: string | undefined;
  readonly servername: string | undefined;
  readonly peer: string | undefined;
  readonly body: Readable | undefined;
  readonly response: ServerResponse;
  /** Of the connection. The response lets go of it when it becomes a WebSocket. */
  readonly socket: Socket;
  readonly #request: IncomingMessage;
  #rule: string | undefined;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.response = response;
    this.socket = request.socket;
    this.version = request.httpVersion === "1.0" ? "1.0" : "1.1";
    this.method = request.method ?? "GET";
    this.target = request.url ?? "";
    this.headers = headerList(request.rawHeaders);
    const hosts = this.headers.filter(([name]) => name === "host");
    this.authority = hosts.length === 1 ? hosts[0]![1] : undefined;
    this.fault =
      framingFault(this.headers, request.httpVersion) ??
      (isWebSocketUpgrade(this.headers) ? upgradeFault(this.headers, this.method) : undefined);
    const { servername } = request.socket as TLSSocket & { servername?: string | false };
    this.servername = typeof servername === "string" ? servername : undefined;
    this.peer = request.socket.remoteAddress;
    this.body = hasBody(request) ? request : undefined;
    // undici listens only while it sends the body; a visitor may disconnect at any other moment.
    request.on("error", () => undefined);
  }

  get status(): number | undefined {
    return this.response.headersSent ? this.response.statusCode : undefined;
  }

  get rule(): string | undefined {
    return this.#rule;
  }

  trailers(): HeaderList {
    return headerList(this.#request.rawTrailers);
  }

  begin(status: number, headers: HeaderList): void {
    this.response.writeHead(status, headers.flat());
  }

  write(chunk: Buffer): boolean {
    return this.response.write(chunk);
  }

  end(trailers: HeaderList = []): void {
    // Only those who say so read trailers (RFC 9110 6.5.1). Node leaves them out unless the answer is chunked.
    if (trailers.length > 0 && /(^|[,\s])trailers\b/i.test(listValue(this.headers, "te")))
      this.response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
    this.response.end();
  }

  refuse(refusal: Refusal): void {
    this.#rule = refusal.rule;
    refuse(this.response, refusal);
  }

  onDrain(listener: () => void): void {
    this.response.on("drain", listener);
  }

  onClose(listener: () => void): void {
    if (this.response.closed) listener();
    else this.response.once("close", listener);
  }

  received(): number {
    return this.socket.bytesRead;
  }

  traffic(): { readonly bytesIn: number; readonly bytesOut: number } {
    const { bytesRead, bytesWritten } = this.socket;
    const before = counted.get(this.socket) ?? { in: 0, out: 0 };
    counted.set(this.socket, { in: bytesRead, out: bytesWritten });
    return { bytesIn: bytesRead - before.in, bytesOut: bytesWritten - before.out };
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}
