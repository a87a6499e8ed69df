/** The listening socket: REST through Hono, upgrades beside it. With TLS when the operator gave a certificate. */
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createSecureServer, type Server as SecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import {
  answerOnSocket,
  openCertificateFiles,
  PendingAnswers,
  tlsOptions,
  type CertificateFiles,
} from "@caisson/http1";
import { CaissonError, type Config } from "@caisson/protocol";
import type { Logger } from "pino";
import type { App } from "./app.ts";
import { headBytes, isLoopback, type Gate } from "./gate.ts";
import { Heads } from "./heads.ts";
import type { Upgrades } from "./upgrades.ts";

const options = {
  // Of a create; `Heads` bounds all others.
  maxHeaderSize: headBytes.create,
  // Milliseconds until a head, and until a whole request with its body, must have come.
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  connectionsCheckingInterval: 1_000,
  // Some HTTP clients offer h2c with every request; without this each offer would be taken for a WebSocket.
  shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === "websocket",
} satisfies ServerOptions & { shouldUpgradeCallback: unknown };
/** Requests of one connection that have no complete answer yet. */
const pipelined = 64;
/** Milliseconds until a TLS handshake must be over. */
const handshakeTimeout = 10_000;
/** Milliseconds in which a client takes nothing of an answer, or in which there is no answer. Then it is cut. */
const silence = 300_000;
/** Milliseconds that clients get to answer a Close when the server ends. */
const closeGrace = 500;
/** Milliseconds that a client may take to read why its connection ends. */
const linger = 2_000;
/** Milliseconds between looks at the certificate's files. */
const lookInterval = 2_000;
/** Milliseconds between two log lines about connections that were not taken. */
const dropLogInterval = 10_000;

export interface HttpListenerOptions {
  readonly app: App;
  readonly upgrades: Upgrades;
  readonly gate: Gate;
  readonly config: Config;
  readonly log: Logger;
}

const tooLarge = {
  code: "TOO_LARGE",
  message: `The head of the request has more than ${headBytes.usual} bytes, the limit.`,
};
/** The answer to every request before the server has started. */
const starting = {
  code: "UNAVAILABLE",
  message: "The server is starting. Try again in a moment.",
};

export class HttpListener {
  readonly #options: HttpListenerOptions;
  readonly #heads = new Heads();
  readonly #pending = new PendingAnswers();
  #server: Server | undefined;
  #looks: NodeJS.Timeout | undefined;
  #serving = false;
  #closed: Promise<void> | undefined;
  #lastDropLog = Number.NEGATIVE_INFINITY;

  constructor(options: HttpListenerOptions) {
    this.#options = options;
  }

  /**
   * Takes the port. Requests get 503 until `serve` is called.
   * @returns the URL, without a trailing slash
   * @throws CaissonError `unavailable`; `invalid_argument` when the certificate cannot be used
   */
  async listen({ host, port }: { host: string; port: number }): Promise<string> {
    const { config, log } = this.#options;
    const server = await this.#create();
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        const hint = cause.code === "EADDRINUSE" ? " Another program uses that port; set CAISSON_PORT." : "";
        const message = `Cannot listen on ${host} port ${port}: ${cause.message}.${hint}`;
        reject(new CaissonError("unavailable", message, { cause }));
      });
      server.listen(port, host, resolve);
    });
    const tls = config.api.cert !== undefined;
    if (!tls && !isLoopback(host) && config.trustedProxies.length === 0)
      log.warn(
        { host },
        "the API listens without TLS on an address that other machines can reach: tokens and secrets cross the network in the clear. Set api.cert and api.key, or put a reverse proxy with TLS in front and name it in trustedProxies",
      );
    const address = server.address() as AddressInfo;
    const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
    return `${tls ? "https" : "http"}://${name.includes(":") ? `[${name}]` : name}:${address.port}`;
  }

  async #create(): Promise<Server> {
    const { app, upgrades, gate, config, log } = this.#options;
    const files = await openFiles(config.api);
    const server: Server =
      files === undefined
        ? createServer(options)
        : createSecureServer({
            ...options,
            ...tlsOptions,
            ...files.pem,
            handshakeTimeout,
            ALPNProtocols: ["http/1.1"],
          });
    if (files !== undefined) {
      this.#renew(server as SecureServer, files);
      gate.clients.limitHandshakes(server as SecureServer);
    }
    server.maxConnections = config.api.connections;
    server.setTimeout(silence);
    // First, so that one connection too many takes no handshake of its address.
    server.prependListener("connection", (socket: Socket) => gate.clients.connected(socket));
    server.on("drop", () => this.#logDrop());
    server.on(files === undefined ? "connection" : "secureConnection", (socket: Socket) =>
      this.#heads.watch(socket, () => refuse(socket, 431, tooLarge)),
    );
    const serve = getRequestListener(app.fetch);
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      this.#heads.complete(request);
      this.#pending.add(request.socket, response);
      if (this.#pending.count(request.socket) > pipelined) request.socket.destroy();
      else if (this.#serving) void serve(request, response);
      else
        response.writeHead(503, ["content-type", "application/json", "retry-after", "1"]).end(JSON.stringify(starting));
    });
    server.on("upgrade", (request, socket: Socket, head) => {
      this.#heads.complete(request);
      this.#heads.release(socket);
      socket.setTimeout(0);
      // It came before the answers to earlier requests, which would be written into the WebSocket.
      if (this.#pending.count(socket) > 0) return socket.destroy();
      if (!this.#serving) return refuse(socket, 503, starting);
      upgrades.handle(request, socket, head).catch((error: unknown) => {
        log.error({ err: error }, "an upgrade failed");
        socket.destroy();
      });
    });
    return server;
  }

  #renew(server: SecureServer, files: CertificateFiles): void {
    this.#looks = setInterval(() => {
      void files.refresh().then((renewed) => {
        if (!renewed) return;
        server.setSecureContext({ ...tlsOptions, ...files.pem });
        this.#options.log.info("the API uses the new certificate");
      });
    }, lookInterval).unref();
  }

  #logDrop(): void {
    const now = performance.now();
    if (now - this.#lastDropLog < dropLogInterval) return;
    this.#lastDropLog = now;
    const { connections } = this.#options.config.api;
    this.#options.log.warn({ connections }, "connections are refused: the API has as many as api.connections allows");
  }

  /** From now on requests reach the app. */
  serve(): void {
    this.#serving = true;
  }

  /** Takes no more connections. */
  refuse(): void {
    const server = this.#server;
    clearInterval(this.#looks);
    this.#closed ??= new Promise((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  }

  /** Answers when no connection is left. */
  async close(): Promise<void> {
    this.refuse();
    this.#server?.closeAllConnections();
    await Promise.race([this.#closed, sleep(closeGrace)]);
    this.#options.upgrades.destroy();
    await this.#closed;
  }
}

async function openFiles({ cert, key }: Config["api"]): Promise<CertificateFiles | undefined> {
  if (cert === undefined || key === undefined) return undefined;
  return await openCertificateFiles(cert, key).catch((cause: Error) => {
    throw new CaissonError("invalid_argument", `api.cert and api.key cannot be used: ${cause.message}`, { cause });
  });
}

function refuse(socket: Socket, status: number, body: { readonly code: string; readonly message: string }): void {
  answerOnSocket(socket, status, [["content-type", "application/json"]], JSON.stringify(body), linger);
}
