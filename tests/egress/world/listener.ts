/**
 * A host on the internet, played on loopback: takes TLS or plain, HTTP/1.1, HTTP/2, WebSocket or bare bytes on one port, and
 * keeps everything that reached it.
 */
import { createServer as createHttpServer, type IncomingMessage, type Server as HttpServer } from "node:http";
import { performServerHandshake } from "node:http2";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Duplex, Transform } from "node:stream";
import { createServer as createTlsServer, type Server as TlsServer, type TLSSocket } from "node:tls";
import { answer, answerWebSocket, storedFor, type Answer } from "./echo-service.ts";
import type { Identity } from "./authority.ts";
import type { Seen } from "./seen.ts";

export interface ListenerOptions {
  /** Stands in its answers, so that a guest can tell who answered. */
  readonly name: string;
  readonly identity: Identity;
  /** Makes sessions of one listener resumable at another, as with hosts behind one front. */
  readonly ticketKeys?: Buffer;
}

const mostKept = 512 * 1024;

export class Listener {
  readonly name: string;
  connections = 0;
  readonly requests: Seen[] = [];
  /** What came in plain or inside HTTP/1.1 over TLS, byte for byte as latin1. */
  raw = "";
  /** The same of HTTP/2. */
  frames = "";
  #bytesOfEnded = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  private constructor(options: ListenerOptions) {
    this.name = options.name;
    const http = this.#http();
    const tls = this.#tls(options, http);
    this.#server = createServer((socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.on("error", () => undefined);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        this.#bytesOfEnded += socket.bytesRead;
      });
      socket.once("readable", () => {
        const first = socket.read() as Buffer | null;
        if (first === null) return;
        socket.unshift(first);
        if (first[0] === 22) tls.emit("connection", socket);
        else if (/^[A-Z]+ /.test(first.toString("latin1", 0, 16))) this.#serveHttp(http, socket);
        else this.#serveBytes(socket);
      });
    });
  }

  static async start(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    await new Promise<void>((resolve, reject) => {
      listener.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    listener.#port = (listener.#server.address() as AddressInfo).port;
    return listener;
  }

  get port(): number {
    return this.#port;
  }

  /** All that was sent here, in whatever protocol. */
  get bytes(): number {
    return [...this.#sockets].reduce((sum, socket) => sum + socket.bytesRead, this.#bytesOfEnded);
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  /** A connection whose bytes are kept on their way to what reads them. */
  #recorded(socket: Duplex): Duplex {
    const recorder = new Transform({
      transform: (chunk: Buffer, _encoding, callback) => {
        if (this.frames.length < mostKept) this.frames += chunk.toString("latin1");
        callback(null, chunk);
      },
    });
    socket.on("error", () => recorder.destroy()).on("close", () => recorder.destroy());
    const both = Duplex.from({ readable: socket.pipe(recorder), writable: socket });
    both.on("error", () => socket.destroy());
    return both;
  }

  #keep(chunk: Buffer): void {
    if (this.raw.length < mostKept) this.raw += chunk.toString("latin1");
  }

  #tls({ identity, ticketKeys }: ListenerOptions, http: HttpServer): TlsServer {
    const server = createTlsServer({
      ...identity,
      ALPNProtocols: ["h2", "http/1.1"],
      ...(ticketKeys !== undefined && { ticketKeys, sessionIdContext: "shared" }),
    });
    server.on("tlsClientError", (_error, socket) => socket.destroy());
    server.on("secureConnection", (socket: TLSSocket) => {
      socket.on("error", () => undefined);
      if (socket.alpnProtocol === "h2") this.#serveHttp2(socket);
      else this.#serveHttp(http, socket);
    });
    return server;
  }

  /** More lenient than a real server should be: an attack on it must be able to succeed. */
  #http(): HttpServer {
    const server = createHttpServer(
      {
        insecureHTTPParser: true,
        requireHostHeader: false,
        maxHeaderSize: 2 ** 20,
        keepAliveTimeout: 30_000,
        shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === "websocket",
      },
      (request, response) => {
        void this.#take(request).then(async (seen) => {
          const reply = answer(this.name, seen);
          if (reply.hints !== undefined) response.writeEarlyHints(reply.hints);
          response.sendDate = false;
          response.writeHead(
            reply.status,
            reply.reason ?? "",
            reply.headers.flatMap(([name, value]) => [name, value]),
          );
          await send(reply, (chunk) => response.write(chunk));
          if (reply.trailers !== undefined) response.addTrailers(reply.trailers);
          response.end();
        });
      },
    );
    server.on("connect", (request: IncomingMessage, socket: Duplex) => {
      void this.#take(request, false);
      socket.end(`HTTP/1.1 200 OK\r\n\r\nreached ${this.name}\n`);
    });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      void this.#take(request, false).then((seen) =>
        answerWebSocket(request, socket, head, seen, (data) => this.#keep(data)),
      );
    });
    server.on("clientError", (_error, socket: Duplex) => {
      if (socket.writable)
        socket.end(
          `HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\nx-reached: reached ${this.name}\r\n\r\n`,
        );
    });
    return server;
  }

  #serveHttp(server: HttpServer, socket: Duplex): void {
    server.emit("connection", socket);
    socket.on("data", (chunk: Buffer) => this.#keep(chunk));
  }

  async #take(request: IncomingMessage, withBody = true): Promise<Seen> {
    const chunks: Buffer[] = [];
    const lines: string[] = [];
    const { rawHeaders } = request;
    for (let index = 0; index < rawHeaders.length; index += 2)
      lines.push(`${rawHeaders[index]?.toLowerCase()}: ${rawHeaders[index + 1]}`);
    try {
      if (withBody) for await (const chunk of request) chunks.push(chunk as Buffer);
    } catch {
      // What came before the end is what reached us.
    }
    const seen: Seen = {
      protocol: "http/1.1",
      method: request.method ?? "",
      target: request.url ?? "",
      authority: request.headers.host ?? "",
      head: lines.join("\n"),
      headers: request.headers,
      body: Buffer.concat(chunks),
    };
    this.requests.push(seen);
    return seen;
  }

  #serveHttp2(socket: TLSSocket): void {
    const session = performServerHandshake(this.#recorded(socket), {
      maxSessionMemory: 256,
      streamResetBurst: 1e6,
      streamResetRate: 1e6,
    });
    session.on("error", () => socket.destroy());
    session.on("stream", (stream, headers) => {
      stream.on("error", () => undefined);
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      const seen = (): Seen => ({
        protocol: "h2",
        method: headers[":method"] ?? "",
        target: headers[":path"] ?? "",
        authority: headers[":authority"] ?? headers.host ?? "",
        head: Object.entries(headers)
          .map(([name, value]) => `${name}: ${String(value)}`)
          .join("\n"),
        headers,
        body: Buffer.concat(chunks),
      });
      stream.once("close", () => stream.writableEnded || this.requests.push(seen()));
      stream.once("end", () => {
        const complete = seen();
        this.requests.push(complete);
        const reply = answer(this.name, complete);
        if (stream.destroyed) return;
        if (reply.trailers !== undefined) stream.once("wantTrailers", () => stream.sendTrailers(reply.trailers ?? {}));
        stream.respond(
          { ":status": reply.status, ...Object.fromEntries(reply.headers.filter(([name]) => name !== "connection")) },
          { waitForTrailers: reply.trailers !== undefined },
        );
        void send(reply, (chunk) => stream.write(chunk)).then(() => stream.end());
      });
    });
  }

  /** Neither TLS nor HTTP: greets, and answers what it got. */
  #serveBytes(socket: Socket): void {
    socket.on("data", (chunk: Buffer) => {
      this.#keep(chunk);
      socket.write(`reached ${this.name} ${storedFor(chunk.toString("latin1")) ?? ""}\n`);
    });
  }
}

async function send(reply: Answer, write: (chunk: Buffer) => unknown): Promise<void> {
  for (const chunk of reply.chunks) {
    write(chunk);
    if (reply.pace !== undefined) await new Promise((resolve) => setTimeout(resolve, reply.pace));
  }
}
