/** The sockets of the gateway: TLS or not, HTTP/1.1 and HTTP/2 on the same port, and on loopback both families. */
import { createServer, ServerResponse, type IncomingMessage, type Server } from "node:http";
import type { Http2Server } from "node:http2";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { createSecureContext, type SecureContext, type TLSSocket } from "node:tls";
import type { Duplex } from "node:stream";
import {
  divert,
  endSoon,
  parserRefusal,
  PendingAnswers,
  strictServerOptions,
  tlsOptions,
  type Clients,
} from "@caisson/http1";
import { CaissonError, type PublicCertificate } from "@caisson/protocol";
import type { Logger } from "pino";
import { refuseOnSocket } from "./answer.ts";
import type { Exchange } from "./exchange.ts";
import { Http1Exchange } from "./http1-exchange.ts";
import { createHttp2 } from "./http2-server.ts";
import { limits } from "./limits.ts";
import { speaksHttp2 } from "./preface.ts";

export interface ListenerOptions {
  readonly host: string;
  readonly port: number;
  readonly http2: boolean;
  /** Absent: plain HTTP. Answers with the certificate for the hostname of a handshake. */
  readonly contextFor?: ((servername: string) => Promise<SecureContext>) | undefined;
  /** What proves a hostname to a certificate authority that asks now. */
  readonly challenge?: ((servername: string) => PublicCertificate | undefined) | undefined;
  readonly clients: Clients;
  readonly log: Logger;
  readonly onRequest: (exchange: Exchange) => void;
  /** @param accepted to be called when the program inside has accepted the WebSocket */
  readonly onWebSocket: (exchange: Http1Exchange, accepted: () => void) => void;
}

/** RFC 8737 3. */
const acmeProtocol = "acme-tls/1";

const serverOptions = strictServerOptions(limits);

export class Listener {
  readonly #options: ListenerOptions;
  readonly #servers: Server[] = [];
  readonly #sockets = new Set<Socket>();
  readonly #pending = new PendingAnswers();
  readonly #http2: Http2Server;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#http2 = createHttp2(options.onRequest);
  }

  /** @returns the port. @throws CaissonError `unavailable` */
  async listen(): Promise<number> {
    const { host, port } = this.#options;
    const taken = await this.#open(host, port);
    // Browsers resolve `*.localhost` to ::1 first. Somebody else there would get what is meant for us.
    if (host === "127.0.0.1")
      await this.#open("::1", taken).catch((error: Error) => {
        const { code } = error.cause as NodeJS.ErrnoException;
        if (code === "EADDRINUSE" && port !== 0) throw error;
      });
    return taken;
  }

  async close(): Promise<void> {
    const closed = this.#servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  async #open(host: string, port: number): Promise<number> {
    const server = this.#create();
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        const hint = cause.code === "EADDRINUSE" ? " Another program uses that port; set CAISSON_HTTPS_PORT." : "";
        const message = `The gateway cannot listen on ${host} port ${port}: ${cause.message}.${hint}`;
        reject(new CaissonError("unavailable", message, { cause }));
      });
      server.listen(port, host, resolve);
    });
    // Without it a connection that the system cannot hand over would end the process.
    server.on("error", (error) => this.#options.log.warn({ err: error }, "the gateway failed to accept a connection"));
    this.#servers.push(server);
    return (server.address() as AddressInfo).port;
  }

  #create(): Server {
    const server = this.#createServer();
    server.maxHeadersCount = limits.headerFields;
    server.maxConnections = limits.connections;
    server.setTimeout(limits.silence);
    server.prependListener("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
      this.#options.clients.connected(socket);
    });
    server.on("request", (request, response) => this.#request(request, response));
    server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    server.on("connect", (_, socket) =>
      refuseOnSocket(socket, { status: 405, rule: "malformed-request", message: "This is not a proxy." }),
    );
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseUnparsed(error, socket));
    return server;
  }

  #createServer(): Server {
    const { contextFor, challenge, http2 } = this.#options;
    if (contextFor === undefined) {
      const server = createServer(serverOptions);
      if (http2)
        divert(server, "connection", (socket, serveHttp1) => {
          speaksHttp2(socket, limits.headers, (yes) => (yes ? this.#http2.emit("connection", socket) : serveHttp1()));
        });
      return server;
    }
    const proofs = new WeakMap<TLSSocket, PublicCertificate>();
    const server = createSecureServer({
      ...serverOptions,
      ...tlsOptions,
      handshakeTimeout: limits.handshake,
      ALPNCallback: function (this: TLSSocket, { servername, protocols }) {
        if (protocols.includes(acmeProtocol)) {
          // Node's types leave out that a client may send no hostname. What is thrown here would end the process.
          const proof = typeof servername === "string" ? challenge?.(servername) : undefined;
          if (proof === undefined) return undefined;
          // With TLS 1.2 the certificate was chosen before, with TLS 1.3 it will be chosen after this.
          this.setKeyCert(proof);
          proofs.set(this, proof);
          return acmeProtocol;
        }
        return http2 && protocols.includes("h2") ? "h2" : protocols.includes("http/1.1") ? "http/1.1" : undefined;
      },
      SNICallback: function (this: TLSSocket, servername: string, callback) {
        contextFor(servername).then(
          (context) => {
            const proof = proofs.get(this);
            callback(null, proof === undefined ? context : createSecureContext(proof));
          },
          (error: unknown) => callback(error as Error),
        );
      },
    });
    this.#options.clients.limitHandshakes(server);
    divert(server, "secureConnection", (socket, serveHttp1) => {
      const { alpnProtocol } = socket as TLSSocket;
      // The handshake was all that the authority wanted (RFC 8737 3).
      if (alpnProtocol === acmeProtocol) socket.destroy();
      else if (alpnProtocol === "h2") this.#http2.emit("connection", socket);
      else serveHttp1();
    });
    return server;
  }

  #request(request: IncomingMessage, response: ServerResponse): void {
    this.#pending.add(request.socket, response);
    const exchange = new Http1Exchange(request, response);
    if (this.#pending.count(request.socket) <= limits.pipelined) this.#options.onRequest(exchange);
    else
      exchange.refuse({
        status: 503,
        rule: "too-many-connections",
        message: "Too many requests on this connection have no answer yet. Wait for some to end.",
      });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // It came before the answers to earlier requests. Node hands the connection over with an earlier answer still attached to it.
    if (this.#pending.count(socket) > 0) {
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    if (head.length > 0) socket.unshift(head);
    // A program may answer an upgrade like a plain request.
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Socket);
    response.once("finish", () => {
      response.detachSocket(socket as Socket);
      endSoon(socket, limits.linger);
    });
    socket.on("error", () => undefined);
    // Nobody else reads the connection before the program has answered; without this a visitor who disconnects would go unnoticed.
    const leave = () => socket.destroy();
    socket.once("end", leave);
    socket.read(0);
    this.#options.onWebSocket(new Http1Exchange(request, response), () => socket.off("end", leave));
  }
}

function refuseUnparsed(error: NodeJS.ErrnoException, socket: Duplex): void {
  const refusal = parserRefusal(error);
  if (refusal === undefined) socket.destroy();
  else refuseOnSocket(socket, { ...refusal, rule: "malformed-request" });
}
