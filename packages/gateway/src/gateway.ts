/** The listening socket of the gateway. It serves nothing but what a directory of routes finds. */
import { createServer, ServerResponse, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Clients, endSoon, parserRefusal, PendingAnswers, strictServerOptions } from "@caisson/http1";
import {
  CaissonError,
  type Config,
  type HttpGateway,
  type HttpRoute,
  type RouteDirectory,
  type Visit,
} from "@caisson/protocol";
import type { Logger } from "pino";
import { refuse, refuseOnSocket, type Refusal } from "./answer.ts";
import { issuedCertificates, operatorsCertificate, type Certificates, type IssuedCertificate } from "./certificates.ts";
import { forward } from "./forward.ts";
import { limits } from "./limits.ts";
import { createNames, type Names } from "./names.ts";
import { addressOf, findRoute, unlessAborted } from "./route.ts";
import { join } from "./websocket.ts";

export interface GatewayOptions {
  readonly config: Config["gateway"];
  readonly port: number;
  /** Addresses and ranges (CIDR) of reverse proxies whose `X-Forwarded-For` counts. Default: none. */
  readonly trustedProxies?: readonly string[];
  /** Issues certificates for names of the gateway, where the operator gave none. */
  readonly issue: (hosts: readonly string[]) => Promise<IssuedCertificate>;
  readonly log: Logger;
}

export function createGateway(options: GatewayOptions): HttpGateway {
  return new Gateway(options);
}

const serverOptions = strictServerOptions(limits);

class Gateway implements HttpGateway {
  readonly #options: GatewayOptions;
  readonly #names: Names;
  readonly #listeners: ((visit: Visit) => void)[] = [];
  /** Requests and WebSockets under way, by workload. */
  readonly #active = new Map<string, number>();
  readonly #pending = new PendingAnswers();
  readonly #sockets = new Set<Socket>();
  readonly #clients: Clients;
  /** Bytes of a connection that earlier visits have reported. */
  readonly #reported = new WeakMap<Duplex, { in: number; out: number }>();
  #directory: RouteDirectory<HttpRoute> = { find: () => Promise.resolve(undefined) };
  #server: Server | undefined;
  #port: number;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#names = createNames(options.config.domain);
    const { connectionsPerAddress } = options.config;
    this.#clients = new Clients({ trustedProxies: options.trustedProxies ?? [], connectionsPerAddress });
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

  async listen(directory: RouteDirectory<HttpRoute>): Promise<void> {
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
      this.#clients.connected(socket);
    });
    server.on("request", (request, response) => this.#serve(request, response));
    server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    server.on("connect", (_, socket) =>
      refuseOnSocket(socket, { status: 405, rule: "malformed-request", message: "This is not a proxy." }),
    );
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => refuseUnparsed(error, socket));
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
        this.#certifiable(servername)
          .then((host) => certificates.contextFor(host))
          .then(
            (context) => callback(null, context),
            (error: unknown) => {
              log.error({ err: error }, "cannot make a certificate");
              callback(error as Error);
            },
          );
      },
    });
  }

  /** The hostname, if it may get a certificate: only names that exist do, or strangers could make us sign without end. */
  async #certifiable(servername: string): Promise<string | undefined> {
    const label = this.#names.label(servername);
    if (label === undefined) return undefined;
    const found = await unlessAborted(
      (signal) => this.#directory.find(label, { signal }),
      AbortSignal.timeout(limits.handshake),
    );
    return found === undefined ? undefined : this.#names.host(label);
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    this.#pending.add(request.socket, response);
    if (this.#pending.count(request.socket) > limits.pipelined) return refuse(response, tooManyPipelined);
    void this.#visit(request, response, "request");
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
    void this.#visit(request, response, "websocket", () => socket.off("end", leave));
  }

  /**
   * Never rejects.
   * @param accepted called when the program inside has accepted the WebSocket
   */
  async #visit(
    request: IncomingMessage,
    response: ServerResponse,
    kind: Visit["kind"],
    accepted?: () => void,
  ): Promise<void> {
    const { config, log } = this.#options;
    const { socket } = request;
    const address = addressOf(request, this.#names, config.tls);
    if ("rule" in address) return refuse(response, address);
    // undici listens only while it sends the body; a visitor may disconnect at any other moment.
    request.on("error", () => undefined);
    const left = new AbortController();
    const leave = () => left.abort();
    const ending = kind === "request" ? response : socket;
    if (!this.#clients.admit(request, ending)) return refuse(response, tooManyOfAddress);
    ending.once("close", leave);
    const route = await findRoute(this.#directory, address.label, left.signal, (error) =>
      log.error({ err: error }, "cannot find a route"),
    );
    ending.off("close", leave);
    if (left.signal.aborted) return;
    if ("rule" in route) return refuse(response, route);
    const { workloadId } = route;
    const active = this.#active.get(workloadId) ?? 0;
    if (active >= config.connectionsPerSandbox) return refuse(response, tooMany);
    this.#active.set(workloadId, active + 1);
    const visitor = this.#clients.addressOf(request) || "unknown";
    let status: number | undefined;
    const done = () => {
      const others = (this.#active.get(workloadId) ?? 1) - 1;
      if (others === 0) this.#active.delete(workloadId);
      else this.#active.set(workloadId, others);
      const visit = { workloadId, kind, status: status ?? response.statusCode, ...this.#unreported(socket) };
      for (const listener of this.#listeners) listener(visit);
    };
    if (kind === "request") {
      response.once("close", done);
      forward({ request, response, visitor, address, route });
      return;
    }
    socket.once("close", done);
    forward({
      request,
      response,
      visitor,
      address,
      route,
      upgraded: (inside, headers) => {
        status = 101;
        accepted?.();
        response.detachSocket(socket);
        join({ visitor: socket, inside, headers, ended: route.ended });
      },
    });
  }

  #unreported(socket: Socket): Pick<Visit, "bytesIn" | "bytesOut"> {
    const before = this.#reported.get(socket) ?? { in: 0, out: 0 };
    this.#reported.set(socket, { in: socket.bytesRead, out: socket.bytesWritten });
    return { bytesIn: socket.bytesRead - before.in, bytesOut: socket.bytesWritten - before.out };
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
  message: "Too many requests to this sandbox are under way. Try again when some have ended.",
};
const tooManyOfAddress: Refusal = {
  status: 503,
  rule: "too-many-connections",
  message: "Too many requests from your address are under way. Try again when some have ended.",
};
const tooManyPipelined: Refusal = {
  status: 503,
  rule: "too-many-connections",
  message: "Too many requests on this connection have no answer yet. Wait for some to end.",
};

function refuseUnparsed(error: NodeJS.ErrnoException, socket: Duplex): void {
  const refusal = parserRefusal(error);
  if (refusal === undefined) socket.destroy();
  else refuseOnSocket(socket, { ...refusal, rule: "malformed-request" });
}
