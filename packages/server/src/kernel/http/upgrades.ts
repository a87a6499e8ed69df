/** WebSocket upgrades (wire contract 2.1): finds the slice that serves a path. Everything that can be refused is refused before the 101. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { answerOnSocket } from "@caisson/http1";
import { CaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import { clip } from "../log.ts";
import type { UpgradeRoute } from "../slice.ts";
import type { Authenticator } from "./context.ts";
import { challenge, toErrorAnswer } from "./errors.ts";
import { RateLimited, type Gate } from "./gate.ts";
import type { TokenUses } from "./token-uses.ts";
import { newTraceId, traceHeader } from "./trace.ts";

export interface UpgradesOptions {
  readonly routes: readonly UpgradeRoute[];
  readonly gate: Gate;
  readonly authenticator: Authenticator;
  readonly uses: TokenUses;
  readonly observe: (method: string, status: number) => void;
  readonly log: Logger;
}

/** Milliseconds that a client may take to read why it was refused. The HTTP server's own timeouts ended with the upgrade. */
const linger = 2_000;
/** Characters of the reason of a refusal in the log. */
const loggedMessage = 120;
/** Milliseconds that a connection has to close after its token was revoked. */
const revokedGrace = 6_000;

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
    let logged = true;
    let refused: object | undefined;
    try {
      const admission = this.#options.gate.admit(request, socket);
      const { route, match } = this.#route(request, pathname);
      const { authorization } = request.headers;
      const { org, tokenId } = await admission.identify(() =>
        this.#options.authenticator.authenticate(authorization, header(request, "x-deno-org")),
      );
      const revoked = this.#useToken(tokenId, socket);
      await route.handle({ request, socket, head, match, org, requestId, log, gone: gone.signal, revoked });
    } catch (error) {
      const answer = toErrorAnswer(error, log);
      status = answer.status;
      const { code, message } = answer.body;
      // Some clients do not show the answer, so that the operator is asked.
      refused = { code, message: clip(message, loggedMessage) };
      logged = !(error instanceof RateLimited);
      const headers: [string, string][] = [
        ["content-type", "application/json"],
        [traceHeader, requestId],
      ];
      if (status === 401) headers.push(["www-authenticate", challenge]);
      if (status === 405) headers.push(["allow", "GET"]);
      answerOnSocket(socket, answer.status, headers, JSON.stringify(answer.body), linger);
    }
    this.#options.observe("GET", status);
    if (logged)
      log.info(
        { method: "GET", path: pathname, status, ms: Math.round(performance.now() - started), refused },
        "upgrade",
      );
  }

  /** @returns aborted when the token is no longer valid. Its connection then has a moment to close by itself. */
  #useToken(tokenId: string, socket: Duplex): AbortSignal {
    const revoked = new AbortController();
    this.#options.uses.add(tokenId, socket, () => {
      revoked.abort();
      const timer = setTimeout(() => socket.destroy(), revokedGrace);
      socket.once("close", () => clearTimeout(timer));
    });
    return revoked.signal;
  }

  #route(request: IncomingMessage, pathname: string): { route: UpgradeRoute; match: RegExpExecArray } {
    for (const route of this.#options.routes) {
      const match = route.path.exec(pathname);
      if (match === null) continue;
      if (request.method !== "GET")
        throw new CaissonError("method_not_allowed", "This path takes a WebSocket upgrade with GET.");
      return { route, match };
    }
    throw new CaissonError("not_found", `No such WebSocket route: ${pathname.slice(0, 200)}.`);
  }
}

function header(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}
