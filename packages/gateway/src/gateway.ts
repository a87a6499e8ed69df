/** The listening socket of the gateway: an address of its own, on which nothing but previews is served. */
import { createServer, ServerResponse, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { CaissonError, type Config, type PreviewDirectory, type PreviewGateway, type Visit } from "@caisson/protocol";
import type { Logger } from "pino";
import { addressed, type Refusal } from "./addressed.ts";
import { endSoon, refuse, refuseOnSocket } from "./answer.ts";
import { issuedCertificates, operatorsCertificate, type Certificates, type IssuedCertificate } from "./certificates.ts";
import { forward } from "./forward.ts";
import { limits } from "./limits.ts";
import { createNames, type Names } from "./names.ts";
import { join } from "./websocket.ts";

export interface GatewayOptions {
  readonly config: Config["gateway"];
  readonly port: number;
  /** Signs for names of previews where the operator gave no certificate. */
  readonly issue: (hosts: readonly string[]) => Promise<IssuedCertificate>;
  readonly log: Logger;
}

export function createGateway(options: GatewayOptions): PreviewGateway {
  return new Gateway(options);
}

const serverOptions = {
  insecureHTTPParser: false,
  requireHostHeader: false,
  maxHeaderSize: limits.headerBytes,
  headersTimeout: limits.headers,
  // Uploads may take long; a silent one is ended by the socket's timeout.
  requestTimeout: 0,
  keepAliveTimeout: limits.keepAlive,
  connectionsCheckingInterval: 5_000,
  // Other offers (h2c) are ignored, as RFC 9110 7.8 lets a server do.
  shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === "websocket",
};

class Gateway implements PreviewGateway {
  readonly #options: GatewayOptions;
  readonly #names: Names;
  readonly #listeners: ((visit: Visit) => void)[] = [];
  /** Requests and WebSockets under way, by sandbox. */
  readonly #active = new Map<string, number>();
  /** Answers of a connection that are not finished. */
  readonly #unanswered = new WeakMap<Duplex, Set<ServerResponse>>();
  readonly #sockets = new Set<Socket>();
  /** What of a connection's bytes was told so far. */
  readonly #told = new WeakMap<Duplex, { in: number; out: number }>();
  #directory: PreviewDirectory = { find: () => undefined };
  #server: Server | undefined;
  #port: number;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#names = createNames(options.config.domain);
  }

  addressOf(label: string): string {
    return this.#names.address(label, this.#options.config.publicPort ?? this.#port);
  }

  labelOf(address: string): string | undefined {
    return this.#names.label(address);
  }

  onVisit(listener: (visit: Visit) => void): void {
    this.#listeners.push(listener);
  }

  async listen(directory: PreviewDirectory): Promise<void> {
    const { config, port } = this.#options;
    this.#directory = directory;
    const server = await this.#create();
    this.#server = server;
    server.maxHeadersCount = limits.headerFields;
    server.maxConnections = limits.connections;
    server.setTimeout(limits.silence);
    server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (request, response) => this.#serve(request, response));
    server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    server.on("connect", (_, socket) =>
      refuseOnSocket(socket, { status: 405, rule: "malformed-request", message: "This is not a proxy." }),
    );
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => answerGarbage(error, socket));
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        const hint = cause.code === "EADDRINUSE" ? " Another program uses that port; set CAISSON_HTTPS_PORT." : "";
        const message = `The gateway cannot listen on ${config.host} port ${port}: ${cause.message}.${hint}`;
        reject(new CaissonError("unavailable", message, { cause }));
      });
      server.listen(port, config.host, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
  }

  async #create(): Promise<Server> {
    const { config, issue, log } = this.#options;
    if (!config.tls) return createServer(serverOptions);
    const certificates: Certificates =
      config.cert === undefined || config.key === undefined
        ? issuedCertificates(config.domain, issue)
        : await operatorsCertificate(config.cert, config.key);
    return createSecureServer({
      ...serverOptions,
      handshakeTimeout: limits.handshake,
      ALPNProtocols: ["http/1.1"],
      SNICallback: (servername, callback) => {
        const label = this.#names.label(servername);
        // Only names that were given out get a certificate: strangers cannot make us sign without end.
        const known = label !== undefined && this.#directory.find(label) !== undefined;
        certificates.contextFor(known ? this.#names.host(label) : undefined).then(
          (context) => callback(null, context),
          (error: unknown) => {
            log.error({ err: error }, "no certificate could be made");
            callback(error as Error);
          },
        );
      },
    });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const unanswered = this.#unansweredOn(request.socket);
    unanswered.add(response);
    response.once("close", () => unanswered.delete(response));
    this.#visit(request, response, "request");
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Before the answers to what was asked earlier: Node hands the connection over with an earlier answer still attached to it.
    if (this.#unansweredOn(socket).size > 0) {
      socket.on("error", () => undefined);
      socket.destroy();
      return;
    }
    if (head.length > 0) socket.unshift(head);
    // A program may answer an upgrade as if it were a plain request.
    const response = new ServerResponse(request);
    response.shouldKeepAlive = false;
    response.assignSocket(socket as Socket);
    response.once("finish", () => {
      response.detachSocket(socket as Socket);
      endSoon(socket);
    });
    socket.on("error", () => undefined);
    // Nobody else reads it before the program has answered, and a visitor who leaves meanwhile would wait there unseen.
    const leave = () => socket.destroy();
    socket.once("end", leave);
    socket.read(0);
    this.#visit(request, response, "websocket", () => socket.off("end", leave));
  }

  /** @param taken the program has taken the WebSocket */
  #visit(request: IncomingMessage, response: ServerResponse, kind: Visit["kind"], taken?: () => void): void {
    const { config } = this.#options;
    const { socket } = request;
    const to = addressed(request, { names: this.#names, directory: this.#directory, tls: config.tls });
    if (!("preview" in to)) return refuse(response, to);
    // undici listens for as long as it sends the body; a visitor may leave in the moment after.
    request.on("error", () => undefined);
    const { sandboxId } = to.preview;
    const active = this.#active.get(sandboxId) ?? 0;
    if (active >= config.connectionsPerSandbox) return refuse(response, tooMany);
    this.#active.set(sandboxId, active + 1);
    let status: number | undefined;
    const done = () => {
      const left = (this.#active.get(sandboxId) ?? 1) - 1;
      if (left === 0) this.#active.delete(sandboxId);
      else this.#active.set(sandboxId, left);
      const visit = { sandboxId, kind, status: status ?? response.statusCode, ...this.#untold(socket) };
      for (const listener of this.#listeners) listener(visit);
    };
    if (kind === "request") {
      response.once("close", done);
      forward({ request, response, to });
      return;
    }
    socket.once("close", done);
    forward({
      request,
      response,
      to,
      upgraded: (inside, headers) => {
        status = 101;
        taken?.();
        response.detachSocket(socket);
        join({ visitor: socket, inside, headers, ended: to.preview.ended });
      },
    });
  }

  #untold(socket: Socket): Pick<Visit, "bytesIn" | "bytesOut"> {
    const told = this.#told.get(socket) ?? { in: 0, out: 0 };
    this.#told.set(socket, { in: socket.bytesRead, out: socket.bytesWritten });
    return { bytesIn: socket.bytesRead - told.in, bytesOut: socket.bytesWritten - told.out };
  }

  #unansweredOn(socket: Duplex): Set<ServerResponse> {
    const known = this.#unanswered.get(socket);
    if (known !== undefined) return known;
    const responses = new Set<ServerResponse>();
    this.#unanswered.set(socket, responses);
    // Node tells the answer whose turn it is that the visitor has gone; those behind it would go on for nobody, and count for ever.
    socket.once("close", () => responses.forEach((response) => response.destroy()));
    return responses;
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

const tooMany: Refusal = {
  status: 503,
  rule: "too-many-connections",
  message: "Too many requests are under way to this sandbox. Try again when some have ended.",
};

function answerGarbage(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const status = error.code === "HPE_HEADER_OVERFLOW" ? 431 : error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? 408 : 400;
  refuseOnSocket(socket, {
    status,
    rule: "malformed-request",
    message: `The request is not HTTP/1.1 as the standard has it (${error.code ?? "unknown"}).`,
  });
}
