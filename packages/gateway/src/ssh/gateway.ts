/**
 * Shells, commands, files and ports of sandboxes by SSH. The user name is random and is the credential; it leads to one machine. This
 * file knows connections; `login.ts` lets them in, and `serve.ts` does what they ask.
 */
import { createHash, randomUUID } from "node:crypto";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { endSoon } from "@caisson/http1";
import {
  CaissonError,
  type RouteDirectory,
  type SshGateway,
  type SshKey,
  type SshLogin,
  type SshRoute,
  type SshVisit,
} from "@caisson/protocol";
import type { Logger } from "pino";
import ssh2, { type Connection, type Server as SshServer } from "ssh2";
import { Admission, type Admitted } from "./admission.ts";
import { algorithms } from "./algorithms.ts";
import { Counts } from "./counts.ts";
import { disconnect } from "./disconnect.ts";
import { honourGuesses } from "./guess.ts";
import { deriveHostKey, type HostKey } from "./host-key.ts";
import { readKey } from "./keys.ts";
import { disconnectReasons, requireNativeCrypto, socketOf } from "./library.ts";
import { sshLimits } from "./limits.ts";
import { login, type LoggedIn } from "./login.ts";
import type { RekeyLimits } from "./rekey.ts";
import { serveConnection } from "./serve.ts";

export interface SshGatewayOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** What clients connect to. */
  readonly publicHost: string;
  readonly publicPort?: number | undefined;
  /** The key of the installation. */
  readonly seed: Uint8Array;
  /** Whether clients may make their SSH agent usable inside sandboxes. Default: no. */
  readonly agentForwarding?: boolean;
  readonly log: Logger;
  /** For tests: in place of `sshLimits`. */
  readonly limits?: (RekeyLimits & { readonly login: number }) | undefined;
}

/** @throws CaissonError `unavailable` when the native cryptography of the SSH library was not built */
export function createSshGateway(options: SshGatewayOptions): SshGateway {
  requireNativeCrypto();
  return new Gateway(options);
}

class Gateway implements SshGateway {
  readonly #options: SshGatewayOptions;
  readonly #key: HostKey;
  readonly #listeners: ((visit: SshVisit) => void)[] = [];
  readonly #loginListeners: ((login: SshLogin | undefined) => void)[] = [];
  readonly #admission = new Admission();
  /** Admitted ones. */
  readonly #sockets = new Map<Socket, Admitted>();
  /** Those of them that speak SSH. */
  readonly #connections = new Set<Connection>();
  readonly #loggedIn = new Counts(sshLimits.connectionsPerSandbox);
  readonly #channels = new Counts(sshLimits.channelsPerSandbox);
  #directory: RouteDirectory<SshRoute> = { find: () => Promise.resolve(undefined) };
  #server: Server | undefined;
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

  readKey(text: string): SshKey {
    return readKey(text);
  }

  onLogin(listener: (login: SshLogin | undefined) => void): void {
    this.#loginListeners.push(listener);
  }

  onVisit(listener: (visit: SshVisit) => void): void {
    this.#listeners.push(listener);
  }

  async listen(directory: RouteDirectory<SshRoute>): Promise<void> {
    this.#directory = directory;
    const { host, port, log } = this.#options;
    const ssh = new ssh2.Server(
      {
        hostKeys: [this.#key.privateKey],
        algorithms,
        ident: "Caisson",
        keepaliveInterval: sshLimits.keepAlive,
        keepaliveCountMax: sshLimits.keepAlives,
      },
      (connection, { header }) => this.#accept(connection, header.versions.software),
    );
    const server = createServer((socket) => this.#admit(socket, ssh));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once("error", (cause: NodeJS.ErrnoException) => {
        const hint = cause.code === "EADDRINUSE" ? " Another program uses that port; set CAISSON_SSH_PORT." : "";
        const message = `The SSH gateway cannot listen on ${host} port ${port}: ${cause.message}.${hint}`;
        reject(new CaissonError("unavailable", message, { cause }));
      });
      server.listen(port, host, resolve);
    });
    server.on("error", (error: Error) => log.warn({ err: error }, "the SSH gateway failed to accept"));
    this.#port = (server.address() as AddressInfo).port;
  }

  /** The library knows a connection only when its client has begun to speak, which it may never do. */
  #admit(socket: Socket, ssh: SshServer): void {
    socket.on("error", () => undefined);
    const admitted = this.#admission.admit(addressOf(socket), () => socket.destroy());
    if (admitted === undefined) {
      // Without a key exchange: that is what costs. RFC 4253, 4.2 allows lines before the version; `ssh -v` shows them.
      socket.end("Caisson: too many connections that do not log in. Try again in a minute.\r\n");
      socket.destroySoon();
      return;
    }
    const grace = setTimeout(() => socket.destroy(), this.#options.limits?.login ?? sshLimits.login);
    const loggedIn = () => {
      clearTimeout(grace);
      admitted.loggedIn();
    };
    socket.once("close", () => {
      clearTimeout(grace);
      admitted.closed();
      this.#sockets.delete(socket);
    });
    this.#sockets.set(socket, { ...admitted, loggedIn });
    socket.setNoDelay(true);
    ssh.injectSocket(socket);
  }

  #accept(connection: Connection, software: string): void {
    const { log } = this.#options;
    const socket = socketOf(connection);
    // Each part of this package has a few listeners at a connection, and their number does not grow with what the client does.
    connection.setMaxListeners(50);
    honourGuesses(connection);
    this.#connections.add(connection);
    connection.on("error", (error) => log.debug({ err: error }, "an SSH connection failed"));
    // The library ends the socket then, and waits without end for a client that does not read.
    connection.once("error", () => setImmediate(endSoon, socket, sshLimits.linger));
    connection.once("close", () => this.#connections.delete(connection));
    const refusal = ({ workloadId }: SshRoute) =>
      this.#loggedIn.isFull(workloadId)
        ? `Caisson: this sandbox already has ${sshLimits.connectionsPerSandbox} SSH connections, the limit. End one of them.`
        : undefined;
    const loggedIn = (who: LoggedIn) => {
      this.#sockets.get(socket)?.loggedIn();
      this.#serve(connection, who, software);
    };
    const refused = () => this.#loginListeners.forEach((listener) => listener(undefined));
    login({ connection, directory: this.#directory, refusal, loggedIn, refused, log });
  }

  #serve(connection: Connection, { route, username, key }: LoggedIn, software: string): void {
    const socket = socketOf(connection);
    const { workloadId } = route;
    const leave = this.#loggedIn.take(workloadId);
    if (leave === undefined)
      return disconnect(connection, disconnectReasons.tooManyConnections, "Caisson: too many connections.");
    const login: SshLogin = {
      connection: randomUUID(),
      workloadId,
      userHash: createHash("sha256").update(username).digest("hex"),
      ...(key !== undefined && { key: key.fingerprint }),
      address: addressOf(socket),
      port: socket.remotePort ?? 0,
      client: software.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 100),
      at: Date.now(),
    };
    for (const listener of this.#loginListeners) listener(login);
    const served = { sessions: 0, forwarded: 0 };
    connection.once("close", () => {
      leave();
      const { bytesRead: bytesIn, bytesWritten: bytesOut } = socket;
      const visit = { ...login, ...served, durationMs: Date.now() - login.at, bytesIn, bytesOut };
      for (const listener of this.#listeners) listener(visit);
    });
    const { log, limits: rekey, agentForwarding: agents = false } = this.#options;
    serveConnection({
      connection,
      route,
      key,
      channels: this.#channels,
      served,
      rekey,
      agents,
      log: log.child({ workload: workloadId }),
    });
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of this.#connections)
      disconnect(
        connection,
        disconnectReasons.byApplication,
        "Caisson: the server stops. Connect again when it has started.",
      );
    // Clients read why; those that do not are cut.
    for (const socket of this.#sockets.keys()) {
      if (socket.writableEnded) endSoon(socket, sshLimits.linger);
      else socket.destroy();
    }
    await closed;
  }
}

/** Of the client; one of IPv4 as such, also on a socket of IPv6. */
function addressOf({ remoteAddress = "" }: Socket): string {
  return remoteAddress.replace(/^::ffff:/, "");
}
