/** Connections to one upstream: one name, one port, one set of checked addresses, for one sandbox. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { dial } from "../resolve/dial.ts";
import type { Target } from "../resolve/resolver.ts";
import { dialSecure, type SecureDial } from "./connect.ts";
import { Http1Clients } from "./http1-clients.ts";
import { toFailure } from "./failure.ts";
import { Http2Sessions, type FreeStream } from "./http2-sessions.ts";
import type { WindowBudget } from "./window-budget.ts";

export interface OriginOptions extends Omit<SecureDial, "alpn" | "signal"> {
  /** Milliseconds in which an upstream must begin to answer. Default: a day, so that the program's own limit decides. */
  readonly patience?: number;
  /** Memory of all HTTP/2 responses of the sandbox. */
  readonly budget: WindowBudget;
}

/** Milliseconds. */
const limits = {
  patience: 24 * 3600_000,
  retryHttp2: 300_000,
} as const;

export class Origin {
  /** The address of the newest connection, for the record. */
  address: string | undefined;
  usedAt = performance.now();
  readonly http1: Http1Clients;
  readonly #host: string;
  readonly #scheme: "https" | "http";
  readonly #target: Target;
  readonly #options: OriginOptions;
  readonly #http2: Http2Sessions;
  /** A connection whose handshake ended in HTTP/1.1 after all. */
  #spare: TLSSocket | undefined;
  #onlyHttp1Until = 0;

  constructor(scheme: "https" | "http", host: string, target: Target, options: OriginOptions) {
    this.#scheme = scheme;
    this.#host = host;
    this.#target = target;
    this.#options = options;
    const { patience = limits.patience, budget } = options;
    this.http1 = new Http1Clients(scheme, {
      connect: (signal) =>
        this.#connect(["http/1.1"], signal).catch((error: unknown) => {
          throw toFailure(error, this.#where);
        }),
      patience,
    });
    this.#http2 = new Http2Sessions({
      connect: () => this.#connectHttp2(),
      origin: `${scheme}://upstream.invalid`,
      budget,
      patience,
    });
  }

  get #where(): string {
    return `${this.#host}:${this.#target.port}`;
  }

  /**
   * A stream of HTTP/2 for one request, which must begin at once.
   * @param left aborts when the guest has disconnected
   * @returns undefined when the upstream speaks only HTTP/1.1
   * @throws UpstreamFailure
   */
  async http2(left: AbortSignal): Promise<FreeStream | undefined> {
    if (performance.now() < this.#onlyHttp1Until) return undefined;
    try {
      return await this.#http2.take(left);
    } catch (error) {
      throw toFailure(error, this.#where);
    }
  }

  async #connectHttp2(): Promise<Socket | undefined> {
    const socket = await this.#connect(["h2", "http/1.1"]);
    if (this.#scheme === "http" || (socket as TLSSocket).alpnProtocol === "h2") return socket;
    this.#onlyHttp1Until = performance.now() + limits.retryHttp2;
    this.#spare?.destroy();
    this.#spare = socket as TLSSocket;
    this.#spare.once("error", () => {});
    return undefined;
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
    this.#http2.destroy();
    this.http1.destroy();
  }

  /** Lets running exchanges end. */
  retire(): void {
    this.#spare?.destroy();
    this.#http2.retire();
    this.http1.retire();
  }
}
