/**
 * Shells, commands, files and ports of sandboxes by SSH. The user name is random and is the credential; it leads to one machine. This
 * file knows connections and logins; what a session does is in `session.ts`.
 */
import type { AddressInfo, Socket } from "node:net";
import { createRequire } from "node:module";
import { CaissonError, type RouteDirectory, type SshGateway, type SshRoute, type SshVisit } from "@caisson/protocol";
import type { Logger } from "pino";
import ssh2, { type AuthContext, type Connection, type Server as SshServer } from "ssh2";
import { algorithms } from "./algorithms.ts";
import { forwardIn } from "./forward.ts";
import { deriveHostKey, type HostKey } from "./host-key.ts";
import { sshLimits } from "./limits.ts";
import { serveSession } from "./session.ts";

export interface SshGatewayOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** What clients connect to. */
  readonly publicHost: string;
  readonly publicPort?: number | undefined;
  /** The key of the installation. */
  readonly seed: Uint8Array;
  readonly log: Logger;
}

/** @throws CaissonError `unavailable` when the native cryptography of the SSH library was not built */
export function createSshGateway(options: SshGatewayOptions): SshGateway {
  requireNativeCrypto();
  return new Gateway(options);
}

/** Without it the library works, but takes two to four times the processor time, and does not say so. */
function requireNativeCrypto(): void {
  try {
    createRequire(import.meta.url)("ssh2/lib/protocol/crypto/build/Release/sshcrypto.node");
  } catch (cause) {
    throw new CaissonError(
      "unavailable",
      "The native cryptography of the SSH library is not built for this Node.js. Run: node scripts/setup.mjs --for start",
      { cause },
    );
  }
}

class Gateway implements SshGateway {
  readonly #options: SshGatewayOptions;
  readonly #key: HostKey;
  readonly #listeners: ((visit: SshVisit) => void)[] = [];
  readonly #connections = new Set<Connection>();
  /** Not logged in yet, by address. */
  readonly #logins = new Map<string, number>();
  /** Logged in, and channels of them, by sandbox. */
  readonly #loggedIn = new Map<string, number>();
  readonly #channels = new Map<string, number>();
  #directory: RouteDirectory<SshRoute> = { find: () => Promise.resolve(undefined) };
  #server: SshServer | undefined;
  #port: number;

  constructor(options: SshGatewayOptions) {
    this.#options = options;
    this.#key = deriveHostKey(options.seed);
    this.#port = options.port;
  }

  get fingerprint(): string {
    return this.#key.fingerprint;
  }

  get publicKey(): string {
    return this.#key.publicKey;
  }

  address(): { readonly hostname: string; readonly port: number } {
    return { hostname: this.#options.publicHost, port: this.#options.publicPort ?? this.#port };
  }

  onVisit(listener: (visit: SshVisit) => void): void {
    this.#listeners.push(listener);
  }

  async listen(directory: RouteDirectory<SshRoute>): Promise<void> {
    this.#directory = directory;
    const { host, port } = this.#options;
    const server = new ssh2.Server(
      {
        hostKeys: [this.#key.privateKey],
        algorithms,
        ident: "Caisson",
        keepaliveInterval: sshLimits.keepAlive,
        keepaliveCountMax: sshLimits.keepAlives,
      },
      (connection, info) => this.#accept(connection, info.ip),
    );
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        const hint = cause.code === "EADDRINUSE" ? " Another program uses that port; set CAISSON_SSH_PORT." : "";
        const message = `The SSH gateway cannot listen on ${host} port ${port}: ${cause.message}.${hint}`;
        reject(new CaissonError("unavailable", message, { cause }));
      });
      server.listen(port, host, resolve);
    });
    server.on("error", (error: Error) => this.#options.log.warn({ err: error }, "the SSH gateway failed to accept"));
    this.#port = (server.address() as AddressInfo).port;
  }

  #accept(connection: Connection, address: string): void {
    const { log } = this.#options;
    const socket = socketOf(connection);
    this.#connections.add(connection);
    const waiting = count(this.#logins, address, 1);
    const all = [...this.#logins.values()].reduce((sum, value) => sum + value, 0);
    if (waiting > sshLimits.loginsPerAddress || all > sshLimits.logins) socket?.destroy();
    let route: SshRoute | undefined;
    let attempts = 0;
    let closed = false;
    const grace = setTimeout(() => connection.end(), sshLimits.login);
    const loggedIn = once(() => {
      clearTimeout(grace);
      count(this.#logins, address, -1);
    });
    const leave = () => connection.end();

    connection.on("error", (error) => log.debug({ err: error }, "an SSH connection failed"));
    connection.on("authentication", (context) => {
      const login = async () => {
        const found = await this.#authenticate(context, ++attempts);
        if (closed || route !== undefined) return;
        if (found === undefined || (this.#loggedIn.get(found.workloadId) ?? 0) >= sshLimits.connectionsPerSandbox)
          return refuse(connection, context, attempts);
        route = found;
        count(this.#loggedIn, found.workloadId, 1);
        found.ended.addEventListener("abort", leave, { once: true });
        loggedIn();
        context.accept();
      };
      login().catch((error: unknown) => {
        log.warn({ err: error }, "an SSH login failed inside the gateway");
        connection.end();
      });
    });
    connection.on("ready", () => route !== undefined && this.#serve(connection, route));
    connection.once("close", () => {
      closed = true;
      loggedIn();
      this.#connections.delete(connection);
      if (route === undefined) return;
      route.ended.removeEventListener("abort", leave);
      count(this.#loggedIn, route.workloadId, -1);
      const visit = {
        workloadId: route.workloadId,
        bytesIn: socket?.bytesRead ?? 0,
        bytesOut: socket?.bytesWritten ?? 0,
      };
      for (const listener of this.#listeners) listener(visit);
    });
  }

  /** The user name is the credential: no other is asked for. */
  async #authenticate(context: AuthContext, attempts: number): Promise<SshRoute | undefined> {
    if (attempts > sshLimits.attempts || !/^[a-z0-9]{16,64}$/.test(context.username)) return undefined;
    try {
      const route = await this.#directory.find(context.username, { signal: AbortSignal.timeout(sshLimits.login) });
      return route === "reserved" || route?.ended.aborted === true ? undefined : route;
    } catch (error) {
      this.#options.log.info({ err: error }, "the sandbox of an SSH login was not found");
      return undefined;
    }
  }

  #serve(connection: Connection, route: SshRoute): void {
    const log = this.#options.log.child({ workload: route.workloadId });
    const { workloadId } = route;
    const full = () => (this.#channels.get(workloadId) ?? 0) >= sshLimits.channelsPerSandbox;
    connection.on("session", (accept, reject) => {
      if (full()) {
        reject();
        return;
      }
      const session = accept();
      const free = once(() => count(this.#channels, workloadId, -1));
      count(this.#channels, workloadId, 1);
      session.once("close", free);
      connection.once("close", free);
      serveSession({ session, route, log });
    });
    connection.on("tcpip", (accept, reject, info) => {
      if (full()) {
        reject();
        return;
      }
      count(this.#channels, workloadId, 1);
      forwardIn(info, accept, reject, { route, log })
        .catch((error: unknown) => log.debug({ err: error }, "a forwarded connection failed"))
        .finally(() => count(this.#channels, workloadId, -1));
    });
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of this.#connections) {
      connection.end();
      socketOf(connection)?.destroy();
    }
    await closed;
  }
}

/** The library has no other way to say why: a client shows the instruction of a keyboard-interactive login. */
function refuse(connection: Connection, context: AuthContext, attempts: number): void {
  if (attempts > sshLimits.attempts) {
    connection.end();
    return;
  }
  if (context.method === "keyboard-interactive") {
    context.prompt(
      [],
      "Caisson: no running sandbox has this user name.",
      "It ends with its sandbox. Ask for a new one with exposeSsh().",
      () => context.reject(["keyboard-interactive"]),
    );
    return;
  }
  context.reject(["keyboard-interactive"]);
}

/** Below the connection. The library does not offer it. */
function socketOf(connection: Connection): Socket | undefined {
  return (connection as unknown as { readonly _sock?: Socket })._sock;
}

function count(counts: Map<string, number>, key: string, change: 1 | -1): number {
  const value = (counts.get(key) ?? 0) + change;
  if (value <= 0) counts.delete(key);
  else counts.set(key, value);
  return value;
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    action();
  };
}
