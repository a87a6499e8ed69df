/** WebSocket upgrades: create and connect (wire contract 2.1). Everything that can be refused is refused before the 101. */
import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { CaissonError, sandboxIdPattern } from "@caisson/protocol";
import type { Logger } from "pino";
import { WebSocketServer, type WebSocket } from "ws";
import { checkCreateConfig } from "../lifecycle/create-request.ts";
import type { LiveSandbox } from "../lifecycle/live-sandbox.ts";
import { Connection } from "../rpc/connection.ts";
import { decodeConfigHeader } from "./config-header.ts";
import type { ServerContext } from "./context.ts";
import { toErrorAnswer } from "./errors.ts";
import { newTraceId, traceHeader } from "./trace.ts";

const createPath = "/api/v3/sandboxes/create";
const connectPath = /^\/api\/v3\/sandbox(?:es)?\/([^/]+)\/connect$/;
/** The Python client gives an upgrade 10 s (T19); a client that has gone takes its sandbox with it. */
const createTimeout = 120_000;

export class Upgrades {
  readonly #context: ServerContext;
  readonly #sockets: WebSocketServer;
  /** Upgraded sockets are no longer the HTTP server's to close. */
  readonly #raw = new Set<Duplex>();

  constructor(context: ServerContext) {
    this.#context = context;
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: context.config.limits.messageBytes,
      perMessageDeflate: false,
      clientTracking: false,
    });
  }

  /** Cuts all sockets that are left. */
  destroy(): void {
    for (const socket of this.#raw) socket.destroy();
  }

  async handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#raw.add(socket);
    socket.once("close", () => this.#raw.delete(socket));
    const requestId = newTraceId();
    const log = this.#context.log.child({ requestId });
    const gone = new AbortController();
    socket.on("error", () => gone.abort());
    socket.on("close", () => gone.abort());
    // Not through URL: what a client sends need not be one.
    const pathname = (request.url ?? "/").split("?", 1)[0]!;
    const started = performance.now();
    let status = 101;
    try {
      await this.#upgrade({ request, socket, head, pathname, requestId, log, gone: gone.signal });
    } catch (error) {
      const answer = toErrorAnswer(error, log);
      status = answer.status;
      refuse(socket, answer.status, answer.body, requestId);
    }
    this.#context.metrics.requests.inc({ method: "GET", status });
    log.info({ method: "GET", path: pathname, status, ms: Math.round(performance.now() - started) }, "upgrade");
  }

  async #upgrade(upgrade: Upgrade): Promise<void> {
    const { request, pathname } = upgrade;
    const { tokens, sandboxStore, sandboxes, config } = this.#context;
    const id = connectPath.exec(pathname)?.[1];
    if (pathname !== createPath && id === undefined)
      throw new CaissonError("not_found", `No WebSocket is served at ${pathname.slice(0, 200)}.`);
    if (request.method !== "GET")
      throw new CaissonError("invalid_argument", "This path takes a WebSocket upgrade with GET.");
    const org = await tokens.authenticate(request.headers.authorization, header(request, "x-deno-org"));
    if (id === undefined) {
      const sandbox = await this.#create(org, upgrade);
      return this.#open(upgrade, sandbox, true);
    }
    const row = sandboxIdPattern.test(id) ? await sandboxStore.get(id) : undefined;
    if (row === undefined || row.org_id !== org.id)
      throw new CaissonError("not_found", `There is no sandbox ${id.slice(0, 64)}.`);
    const sandbox = sandboxes.get(id);
    if (row.phase !== "running" || sandbox === undefined) throw new CaissonError("gone", `Sandbox ${id} has ended.`);
    if (sandbox.connections.size >= config.limits.connectionsPerSandbox) {
      throw new CaissonError(
        "resource_exhausted",
        `Sandbox ${id} already has ${sandbox.connections.size} connections.`,
      );
    }
    this.#open(upgrade, sandbox, false);
  }

  async #create(
    org: Parameters<ServerContext["sandboxes"]["create"]>[0],
    { request, gone }: Upgrade,
  ): Promise<LiveSandbox> {
    const { config, sandboxes, metrics } = this.#context;
    const wanted = checkCreateConfig(decodeConfigHeader(request.headers["x-deno-sandbox-config"]), config, Date.now());
    const measured = metrics.creates.startTimer();
    try {
      const sandbox = await sandboxes.create(org, wanted, AbortSignal.any([gone, AbortSignal.timeout(createTimeout)]));
      measured({ outcome: "ok" });
      return sandbox;
    } catch (error) {
      measured({ outcome: "error" });
      throw error;
    }
  }

  #open({ request, socket, head, requestId, log, gone }: Upgrade, sandbox: LiveSandbox, primary: boolean): void {
    const { sandboxes } = this.#context;
    const abandoned = () => {
      if (primary && sandbox.session)
        void sandboxes
          .stop(sandbox.id, "session ended")
          .catch((error: unknown) => log.error({ err: error }, "a sandbox did not end"));
    };
    if (gone.aborted || socket.destroyed) return abandoned();
    // It may have ended while it was looked up, or while the server stops.
    if (sandbox.ended) throw new CaissonError("gone", `Sandbox ${sandbox.id} has ended.`);
    this.#sockets.once("headers", (headers: string[]) =>
      headers.push(`x-deno-sandbox-id: ${sandbox.id}`, `${traceHeader}: ${requestId}`),
    );
    let opened = false;
    // Runs at once: `ws` writes the 101 and calls back before it returns.
    this.#sockets.handleUpgrade(request, socket, head, (client) => {
      opened = true;
      this.#serve(client, sandbox, primary, log, abandoned);
    });
    if (opened) return;
    this.#sockets.removeAllListeners("headers");
    abandoned();
  }

  #serve(socket: WebSocket, sandbox: LiveSandbox, primary: boolean, log: Logger, onEnd: () => void): void {
    const { config, metrics, previews } = this.#context;
    new Connection({
      socket,
      sandbox,
      previews,
      grace: config.sandbox.sessionGrace * 1000,
      // Base64 takes 4/3; a little is left for the frame around it.
      replyBytes: Math.floor((config.limits.messageBytes - 4096) * 0.75),
      log: log.child({ sandbox: sandbox.id, primary }),
      observe: (method, outcome, seconds) => metrics.observeCall(method, outcome, seconds),
      onEnd,
    });
  }
}

interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly pathname: string;
  readonly requestId: string;
  readonly log: Logger;
  /** Aborted when the client's socket is gone. */
  readonly gone: AbortSignal;
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function refuse(socket: Duplex, status: number, body: object, requestId: string): void {
  if (socket.destroyed) return;
  const text = JSON.stringify(body);
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Refused"}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(text)}`,
    `${traceHeader}: ${requestId}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${text}`);
}
