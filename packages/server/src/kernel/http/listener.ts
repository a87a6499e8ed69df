/** The listening socket: REST through Hono, upgrades beside it. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { App } from "./app.ts";
import type { Upgrades } from "./upgrades.ts";

const options = {
  // Headers hold the configuration of a new sandbox with its secrets, bytes.
  maxHeaderSize: 512 * 1024,
  requestTimeout: 60_000,
  headersTimeout: 20_000,
  // Some HTTP clients offer h2c with every request; without this each offer would be taken for a WebSocket.
  shouldUpgradeCallback: (request: IncomingMessage) => request.headers.upgrade?.toLowerCase() === "websocket",
};
/** Milliseconds that clients get to answer a Close when the server ends. */
const closeGrace = 500;

export class HttpListener {
  readonly #server: Server;
  readonly #upgrades: Upgrades;
  #closed: Promise<void> | undefined;

  constructor(app: App, upgrades: Upgrades, log: Logger) {
    const serve = getRequestListener(app.fetch);
    this.#upgrades = upgrades;
    this.#server = createServer(options, (request, response) => void serve(request, response));
    this.#server.on("upgrade", (request, socket, head) => {
      this.#upgrades.handle(request, socket, head).catch((error: unknown) => {
        log.error({ err: error }, "an upgrade failed");
        socket.destroy();
      });
    });
  }

  /**
   * @returns the URL, without a trailing slash
   * @throws CaissonError `unavailable`
   */
  async listen({ host, port }: { host: string; port: number }): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause: NodeJS.ErrnoException) => {
        const hint = cause.code === "EADDRINUSE" ? " Another program uses that port; set CAISSON_PORT." : "";
        const message = `Cannot listen on ${host} port ${port}: ${cause.message}.${hint}`;
        reject(new CaissonError("unavailable", message, { cause }));
      });
      this.#server.listen(port, host, resolve);
    });
    const address = this.#server.address() as AddressInfo;
    const name = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
    return `http://${name.includes(":") ? `[${name}]` : name}:${address.port}`;
  }

  /** Takes no more connections. */
  refuse(): void {
    this.#closed ??= new Promise((resolve) => this.#server.close(() => resolve()));
  }

  /** Answers when no connection is left. */
  async close(): Promise<void> {
    this.refuse();
    this.#server.closeAllConnections();
    await Promise.race([this.#closed, sleep(closeGrace)]);
    this.#upgrades.destroy();
    await this.#closed;
  }
}
