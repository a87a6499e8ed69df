/** WebSocket upgrades (wire contract 2.1): finds the slice that serves a path. Everything that can be refused is refused before the 101. */
import type { IncomingMessage } from "node:http";
import { STATUS_CODES } from "node:http";
import type { Duplex } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { UpgradeRoute } from "../slice.ts";
import type { Authenticator } from "./context.ts";
import { toErrorAnswer } from "./errors.ts";
import { newTraceId, traceHeader } from "./trace.ts";

export interface UpgradesOptions {
  readonly routes: readonly UpgradeRoute[];
  readonly authenticator: Authenticator;
  readonly observe: (method: string, status: number) => void;
  readonly log: Logger;
}

export class Upgrades {
  readonly #options: UpgradesOptions;
  /** Upgraded sockets are no longer the HTTP server's to close. */
  readonly #raw = new Set<Duplex>();

  constructor(options: UpgradesOptions) {
    this.#options = options;
  }

  /** Cuts all sockets that are left. */
  destroy(): void {
    for (const socket of this.#raw) socket.destroy();
  }

  async handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    this.#raw.add(socket);
    socket.once("close", () => this.#raw.delete(socket));
    const requestId = newTraceId();
    const log = this.#options.log.child({ requestId });
    const gone = new AbortController();
    socket.on("error", () => gone.abort());
    socket.on("close", () => gone.abort());
    // Not through URL: what a client sends need not be one.
    const pathname = (request.url ?? "/").split("?", 1)[0]!;
    const started = performance.now();
    let status = 101;
    try {
      const { route, match } = this.#route(request, pathname);
      const { authorization } = request.headers;
      const org = await this.#options.authenticator.authenticate(authorization, header(request, "x-deno-org"));
      await route.handle({ request, socket, head, match, org, requestId, log, gone: gone.signal });
    } catch (error) {
      const answer = toErrorAnswer(error, log);
      status = answer.status;
      refuse(socket, answer.status, answer.body, requestId);
    }
    this.#options.observe("GET", status);
    log.info({ method: "GET", path: pathname, status, ms: Math.round(performance.now() - started) }, "upgrade");
  }

  #route(request: IncomingMessage, pathname: string): { route: UpgradeRoute; match: RegExpExecArray } {
    for (const route of this.#options.routes) {
      const match = route.path.exec(pathname);
      if (match === null) continue;
      if (request.method !== "GET")
        throw new CaissonError("invalid_argument", "This path takes a WebSocket upgrade with GET.");
      return { route, match };
    }
    throw new CaissonError("not_found", `No such WebSocket route: ${pathname.slice(0, 200)}.`);
  }
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
