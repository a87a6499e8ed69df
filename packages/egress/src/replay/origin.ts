/** Connections to one upstream: one name, one port, one set of checked addresses, for one sandbox. */
import { connect as http2Connect, constants, type ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { dial } from "../resolve/dial.ts";
import type { Target } from "../resolve/resolver.ts";
import { closeWhenIdle } from "./close-when-idle.ts";
import { dialSecure, type SecureDial } from "./connect.ts";
import { Connections } from "./connections.ts";
import { toFailure } from "./failure.ts";

export interface OriginOptions extends Omit<SecureDial, "alpn" | "signal"> {
  /** Milliseconds in which an upstream must begin to answer. */
  readonly patience?: number;
}

/** Milliseconds and bytes. */
const limits = {
  patience: 300_000,
  http2Idle: 30_000,
  window: 4 * 2 ** 20,
  retryHttp2: 300_000,
} as const;

/** Begins a stream on the session with an upstream. */
export type OpenStream = ClientHttp2Session["request"];

interface Http2 {
  readonly session: ClientHttp2Session;
  readonly openStream: OpenStream;
}

export class Origin {
  /** The address of the newest connection, for the record. */
  address: string | undefined;
  usedAt = Date.now();
  readonly http1: Connections;
  readonly #host: string;
  readonly #scheme: "https" | "http";
  readonly #target: Target;
  readonly #options: OriginOptions;
  #http2: Promise<Http2 | undefined> | undefined;
  /** A connection whose handshake ended in HTTP/1.1 after all. */
  #spare: TLSSocket | undefined;
  #onlyHttp1Until = 0;

  constructor(scheme: "https" | "http", host: string, target: Target, options: OriginOptions) {
    this.#scheme = scheme;
    this.#host = host;
    this.#target = target;
    this.#options = options;
    this.http1 = new Connections(scheme, {
      connect: (signal) =>
        this.#connect(["http/1.1"], signal).catch((error: unknown) => {
          throw toFailure(error, this.#where);
        }),
      patience: options.patience ?? limits.patience,
    });
  }

  get #where(): string {
    return `${this.#host}:${this.#target.port}`;
  }

  /** Undefined when the upstream speaks only HTTP/1.1. @throws UpstreamFailure */
  async http2(): Promise<OpenStream | undefined> {
    if (Date.now() < this.#onlyHttp1Until) return undefined;
    this.#http2 ??= this.#openHttp2();
    try {
      const opened = await this.#http2;
      const over = opened !== undefined && (opened.session.closed || opened.session.destroyed);
      if (opened === undefined || over) this.#http2 = undefined;
      return over ? await this.http2() : opened?.openStream;
    } catch (error) {
      this.#http2 = undefined;
      throw toFailure(error, this.#where);
    }
  }

  async #openHttp2(): Promise<Http2 | undefined> {
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
    const carries = closeWhenIdle(session, limits.http2Idle);
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
    return { session, openStream: (headers, options) => carries(session.request(headers, options)) };
  }

  async #connect(alpn: readonly string[], signal?: AbortSignal): Promise<Socket | TLSSocket> {
    const options = signal === undefined ? this.#options : { ...this.#options, signal };
    if (this.#scheme === "http") {
      const { socket, address } = await dial(this.#target, options);
      this.address = address;
      return socket;
    }
    if (this.#spare !== undefined && alpn.length === 1) {
      const spare = this.#spare;
      this.#spare = undefined;
      if (!spare.destroyed && spare.readable) return spare;
    }
    const { socket, address } = await dialSecure(this.#host, this.#target, { ...options, alpn });
    this.address = address;
    return socket;
  }

  /** Ends at once. */
  destroy(): void {
    this.#spare?.destroy();
    void this.#http2?.then(
      (opened) => opened?.session.destroy(),
      () => {},
    );
    this.http1.destroy();
  }

  /** Lets running exchanges end. */
  retire(): void {
    this.#spare?.destroy();
    void this.#http2?.then(
      (opened) => opened?.session.close(),
      () => {},
    );
    this.http1.retire();
  }
}
