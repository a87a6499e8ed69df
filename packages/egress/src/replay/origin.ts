/** Connections to one upstream: one name, one port, one set of checked addresses, for one sandbox. */
import { connect as http2Connect, constants, type ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Pool } from "undici";
import { dial } from "../resolve/dial.ts";
import type { Target } from "../resolve/resolver.ts";
import { dialSecure, type SecureDial } from "./connect.ts";
import { toFailure } from "./failure.ts";

export type OriginOptions = Omit<SecureDial, "alpn">;

/** Milliseconds and bytes. */
const limits = {
  connections: 64,
  keepAlive: 15_000,
  headers: 300_000,
  headerBytes: 64 * 1024,
  http2Idle: 30_000,
  window: 4 * 2 ** 20,
  retryHttp2: 300_000,
} as const;

export class Origin {
  /** The address of the newest connection, for the record. */
  address: string | undefined;
  usedAt = Date.now();
  readonly #host: string;
  readonly #scheme: "https" | "http";
  readonly #target: Target;
  readonly #options: OriginOptions;
  readonly #http1: Pool;
  #http2: Promise<ClientHttp2Session | undefined> | undefined;
  /** A connection whose handshake ended in HTTP/1.1 after all. */
  #spare: TLSSocket | undefined;
  #onlyHttp1Until = 0;

  constructor(scheme: "https" | "http", host: string, target: Target, options: OriginOptions) {
    this.#scheme = scheme;
    this.#host = host;
    this.#target = target;
    this.#options = options;
    this.#http1 = new Pool(`${scheme}://upstream.invalid`, {
      connect: (_, callback) => {
        this.#connect(["http/1.1"]).then(
          (socket) => callback(null, socket),
          (error: unknown) => callback(toFailure(error, this.#where), null),
        );
      },
      connections: limits.connections,
      pipelining: 1,
      keepAliveTimeout: limits.keepAlive,
      keepAliveMaxTimeout: 4 * limits.keepAlive,
      headersTimeout: limits.headers,
      bodyTimeout: 0,
      maxHeaderSize: limits.headerBytes,
    });
  }

  get #where(): string {
    return `${this.#host}:${this.#target.port}`;
  }

  get http1(): Pool {
    this.usedAt = Date.now();
    return this.#http1;
  }

  /** Undefined when the upstream speaks only HTTP/1.1. @throws UpstreamFailure */
  async http2(): Promise<ClientHttp2Session | undefined> {
    this.usedAt = Date.now();
    if (Date.now() < this.#onlyHttp1Until) return undefined;
    this.#http2 ??= this.#openHttp2();
    try {
      const session = await this.#http2;
      if (session === undefined || session.closed || session.destroyed) this.#http2 = undefined;
      return session !== undefined && (session.closed || session.destroyed) ? await this.http2() : session;
    } catch (error) {
      this.#http2 = undefined;
      throw toFailure(error, this.#where);
    }
  }

  async #openHttp2(): Promise<ClientHttp2Session | undefined> {
    const socket = await this.#connect(["h2", "http/1.1"]);
    if (this.#scheme === "https" && (socket as TLSSocket).alpnProtocol !== "h2") {
      this.#onlyHttp1Until = Date.now() + limits.retryHttp2;
      this.#spare?.destroy();
      this.#spare = socket as TLSSocket;
      this.#spare.once("error", () => {});
      return undefined;
    }
    const session = http2Connect(`${this.#scheme}://upstream.invalid`, {
      createConnection: () => socket,
      maxSessionMemory: 64,
      maxHeaderListPairs: 256,
      settings: { enablePush: false, initialWindowSize: limits.window },
    });
    session.setTimeout(limits.http2Idle, () => session.close());
    session.on("error", () => {});
    session.on("goaway", () => session.close());
    await new Promise<void>((resolve, reject) => {
      session.once("remoteSettings", () => resolve());
      session.once("error", reject);
      session.once("close", () =>
        reject(
          Object.assign(new Error("The HTTP/2 session ended at once"), { code: constants.NGHTTP2_INTERNAL_ERROR }),
        ),
      );
    });
    session.setLocalWindowSize(limits.window * 2);
    return session;
  }

  async #connect(alpn: readonly string[]): Promise<Socket | TLSSocket> {
    if (this.#scheme === "http") {
      const { socket, address } = await dial(this.#target, this.#options);
      this.address = address;
      return socket;
    }
    if (this.#spare !== undefined && alpn.length === 1) {
      const spare = this.#spare;
      this.#spare = undefined;
      if (!spare.destroyed && spare.readable) return spare;
    }
    const { socket, address } = await dialSecure(this.#host, this.#target, { ...this.#options, alpn });
    this.address = address;
    return socket;
  }

  /** Ends at once. */
  async destroy(): Promise<void> {
    this.#spare?.destroy();
    void this.#http2?.then(
      (session) => session?.destroy(),
      () => {},
    );
    await this.#http1.destroy();
  }

  /** Lets running exchanges end. */
  retire(): void {
    this.#spare?.destroy();
    void this.#http2?.then(
      (session) => session?.close(),
      () => {},
    );
    this.#http1.close().catch(() => {});
  }
}
