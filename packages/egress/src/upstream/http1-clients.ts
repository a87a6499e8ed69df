/**
 * HTTP/1.1 clients for one upstream, each with one connection. Every request under way has its own, so none waits for another; the
 * sandbox limits how many requests are under way. A queue would keep requests of guests that have disconnected, and a few long responses
 * (events, long polls) could block all others.
 */
import type { Socket } from "node:net";
import { Client } from "undici";
import { readOn } from "./read-on.ts";
import { skipInterim, type InterimAnswers } from "./skip-interim.ts";

/** Milliseconds and bytes; `idle` connections are kept. */
const limits = {
  idle: 64,
  keepAlive: 15_000,
  headerBytes: 64 * 1024,
} as const;

export interface Http1ClientOptions {
  /** Opens a socket, until the signal aborts. */
  readonly connect: (signal: AbortSignal) => Promise<Socket>;
  /** Milliseconds in which an upstream must accept the request and begin to answer. */
  readonly patience: number;
}

export interface Http1Client {
  readonly client: Client;
  /** Ends the opening of the connection. */
  readonly opening: AbortController;
  /** The newest one. */
  socket?: Socket;
  interim?: InterimAnswers;
}

export class Http1Clients {
  readonly patience: number;
  readonly #connect: Http1ClientOptions["connect"];
  readonly #origin: string;
  /** Free for the next request, the last used one last. */
  readonly #idle: Http1Client[] = [];
  readonly #all = new Set<Http1Client>();
  #retired = false;

  constructor(scheme: "https" | "http", options: Http1ClientOptions) {
    this.#origin = `${scheme}://upstream.invalid`;
    this.#connect = options.connect;
    this.patience = options.patience;
  }

  /** For one request. It comes back by itself when it can carry another. */
  take(): Http1Client {
    return this.#idle.pop() ?? this.#open();
  }

  /** Ends what is under way, the opening included, and frees it. */
  end(connection: Http1Client, reason?: Error): void {
    const index = this.#idle.indexOf(connection);
    if (index >= 0) this.#idle.splice(index, 1);
    this.#all.delete(connection);
    connection.opening.abort(reason);
    void connection.client.destroy(reason ?? null);
  }

  #open(): Http1Client {
    const opening = new AbortController();
    const client = new Client(this.#origin, {
      connect: (_, callback) => {
        this.#connect(opening.signal).then(
          (socket) => {
            connection.socket = socket;
            connection.interim = skipInterim(socket);
            readOn(socket);
            callback(null, socket);
          },
          (error: Error) => callback(error, null),
        );
      },
      pipelining: 1,
      keepAliveTimeout: limits.keepAlive,
      keepAliveMaxTimeout: 4 * limits.keepAlive,
      headersTimeout: this.patience,
      bodyTimeout: 0,
      maxHeaderSize: limits.headerBytes,
    });
    const connection: Http1Client = { client, opening };
    this.#all.add(connection);
    client.on("drain", () => {
      if (this.#retired || !client.stats.connected || this.#idle.length >= limits.idle) this.end(connection);
      else this.#idle.push(connection);
    });
    client.on("disconnect", () => {
      if (this.#idle.includes(connection)) this.end(connection);
    });
    return connection;
  }

  /** Ends all at once. */
  destroy(): void {
    for (const connection of this.#all) this.end(connection);
  }

  /** Lets running requests end. */
  retire(): void {
    this.#retired = true;
    for (const connection of this.#idle.slice()) this.end(connection);
  }
}
