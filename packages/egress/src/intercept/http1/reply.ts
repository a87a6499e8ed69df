/** Replies to a guest that speaks HTTP/1.1. */
import { ServerResponse, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { switchToWebSocket, type HeaderList } from "@caisson/http1";
import { mayWait, type GuestReply } from "../model/guest.ts";

export class Http1Reply implements GuestReply {
  protected readonly response: ServerResponse;
  readonly #request: IncomingMessage;

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.#request = request;
    this.response = response;
  }

  get started(): boolean {
    return this.response.headersSent;
  }

  head(status: number, headers: HeaderList, { ended }: { ended: boolean }): void {
    this.response.writeHead(status, headers.flat());
    if (ended) this.response.end();
    // The guest must get the head before the first byte of the body (server-sent events).
    else if (!headers.some(([name]) => name === "content-length")) this.response.flushHeaders();
  }

  write(chunk: Buffer): boolean {
    return this.response.destroyed || this.response.write(chunk) || this.response.writableLength < mayWait;
  }

  end(trailers: HeaderList): void {
    if (this.response.writableEnded) return;
    if (trailers.length > 0)
      this.response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]));
    this.response.end();
  }

  abort(): void {
    this.#request.socket.destroy();
  }

  onDrain(listener: () => void): void {
    this.response.on("drain", listener);
  }

  onGone(listener: () => void): void {
    // The rest of the request's body breaks off before the answer does; that must not be recorded as a failure.
    this.#request.once("error", (error: NodeJS.ErrnoException) => void (error.code === "ECONNRESET" && listener()));
    this.response.on("close", () => this.response.writableFinished || listener());
  }
}

/** The same after an `Upgrade`, when Node no longer manages the connection. */
export class UpgradeReply extends Http1Reply {
  readonly #socket: Duplex;
  #upgraded = false;

  constructor(request: IncomingMessage, socket: Duplex) {
    const response = new ServerResponse(request);
    response.sendDate = false;
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Socket);
    super(request, response);
    this.#socket = socket;
    socket.on("error", () => {});
    response.on("finish", () => this.#upgraded || socket.end());
  }

  override get started(): boolean {
    return this.#upgraded || super.started;
  }

  override abort(): void {
    this.#socket.destroy();
  }

  upgrade(headers: HeaderList): Duplex {
    this.#upgraded = true;
    this.response.detachSocket(this.#socket as Socket);
    switchToWebSocket(this.#socket, headers);
    return this.#socket;
  }

  override onGone(listener: () => void): void {
    this.#socket.on("close", () => this.response.writableFinished || listener());
  }
}
