/** The listening socket: REST through Hono, upgrades beside it. */
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
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

const startingBody = JSON.stringify({
  code: "UNAVAILABLE",
  message: "The server is starting. Try again in a moment.",
});
/** The answer to every request before the server has started. */
const starting = {
  body: startingBody,
  headers: { "content-type": "application/json", "content-length": startingBody.length, "retry-after": "1" },
};

export class HttpListener {
  readonly #server: Server;
  readonly #upgrades: Upgrades;
  #serving = false;
  #closed: Promise<void> | undefined;

  constructor(app: App, upgrades: Upgrades, log: Logger) {
    const serve = getRequestListener(app.fetch);
    this.#upgrades = upgrades;
    this.#server = createServer(options, (request, response) => {
      if (this.#serving) void serve(request, response);
      else response.writeHead(503, starting.headers).end(starting.body);
    });
    this.#server.on("upgrade", (request, socket, head) => {
      if (!this.#serving) {
        refuseUpgrade(socket);
        return;
      }
      this.#upgrades.handle(request, socket, head).catch((error: unknown) => {
        log.error({ err: error }, "an upgrade failed");
        socket.destroy();
      });
    });
  }

  /**
   * Takes the port. Requests get 503 until `serve` is called.
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

  /** From now on requests reach the app. */
  serve(): void {
    this.#serving = true;
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

function refuseUpgrade(socket: Duplex): void {
  socket.on("error", () => undefined);
  const fields = Object.entries({ ...starting.headers, connection: "close" }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.end(`HTTP/1.1 503 Service Unavailable\r\n${fields.join("\r\n")}\r\n\r\n${starting.body}`, () =>
    socket.destroy(),
  );
}
