/** What a request has to pass before anybody looks for its route: where it comes from, and whom it is addressed to. */
import { createHash } from "node:crypto";
import type { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { AddressRate, Clients } from "@caisson/http1";
import { CaissonError, type Config } from "@caisson/protocol";

/** Bytes of a request head. A new sandbox has its configuration, with its secrets, in the head; nothing else needs more. */
export const headBytes = { usual: 16 * 1024, create: 512 * 1024 } as const;
export const createPath = "/api/v3/sandboxes/create";

/** Seconds of the rate that may come at once. */
const burstSeconds = 10;
/** Tokens that are remembered as valid. */
const maxKnown = 10_000;

const loopbackNames = ["localhost", "127.0.0.1", "[::1]"];
/** A proxy adds one of these; without any, the client itself made the connection. */
const proxyHeaders = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"];
const safeMethods = new Set(["GET", "HEAD", "OPTIONS"]);

export interface GateOptions {
  readonly config: Config;
  /** Where the API listens. */
  readonly listening: () => { readonly host: string; readonly tls: boolean };
}

/** A request that may go on. */
export interface Admission {
  /** Looks for the owner of its token. A request whose owner is found does not count as one without a token. */
  identify<T>(find: () => Promise<T>): Promise<T>;
}

export class Gate {
  readonly clients: Clients;
  readonly #options: GateOptions;
  readonly #rate: AddressRate;
  readonly #hosts: ReadonlySet<string>;
  readonly #publicOrigin: string | undefined;
  /** Hashes of `Authorization` headers that were valid lately. They pass while others of their address are refused. */
  readonly #known = new Set<string>();

  constructor(options: GateOptions) {
    this.#options = options;
    const { api, host, publicUrl, trustedProxies } = options.config;
    const { connectionsPerAddress, handshakesPerAddress, requestsPerAddress } = api;
    this.clients = new Clients({ trustedProxies, connectionsPerAddress, handshakesPerAddress });
    this.#rate = new AddressRate(requestsPerAddress, requestsPerAddress * burstSeconds);
    this.#publicOrigin = publicUrl === undefined ? undefined : new URL(publicUrl).origin;
    const named = publicUrl === undefined ? [] : [new URL(publicUrl).hostname];
    this.#hosts = new Set([...loopbackNames, ...api.hosts, ...named, literal(host.toLowerCase())]);
  }

  /**
   * @param ending emits `close` when the request is over
   * @throws CaissonError `resource_exhausted`, `invalid_argument`, `forbidden`, `too_large`
   */
  admit(request: IncomingMessage, ending: EventEmitter): Admission {
    const { authorization } = request.headers;
    const [peer, forwardedFor] = [request.socket.remoteAddress, request.headers["x-forwarded-for"]];
    const address = this.clients.addressOf(peer, forwardedFor);
    const key = authorization === undefined ? undefined : createHash("sha256").update(authorization).digest("base64");
    const known = key !== undefined && this.#known.has(key);
    if (!known && !this.#rate.take(address))
      throw new RateLimited("Your address sent too many requests without a valid token. Try again in a second.");
    const giveBack = this.clients.admit(peer, forwardedFor);
    if (giveBack === undefined)
      throw new RateLimited("Too many requests from your address are under way. Try again when some have ended.");
    ending.once("close", giveBack);
    checkSize(request);
    this.#checkHost(request);
    this.#checkOrigin(request);
    return {
      identify: async (find) => {
        try {
          const found = await find();
          if (known || key === undefined) return found;
          this.#rate.giveBack(address);
          this.#known.add(key);
          if (this.#known.size > maxKnown) this.#known.delete(this.#known.values().next().value!);
          return found;
        } catch (error) {
          if (error instanceof CaissonError && error.code === "unauthenticated" && key !== undefined)
            this.#known.delete(key);
          throw error;
        }
      },
    };
  }

  /**
   * Whether a request can only come from a program on this machine: the API listens on loopback alone, the request names loopback, and
   * neither it nor the configuration speaks of a proxy.
   */
  isLocal(request: IncomingMessage): boolean {
    const { publicUrl, trustedProxies } = this.#options.config;
    return (
      isLoopback(this.#options.listening().host) &&
      loopbackNames.includes(hostname(request.headers.host) ?? "") &&
      (publicUrl === undefined || loopbackNames.includes(new URL(publicUrl).hostname)) &&
      trustedProxies.length === 0 &&
      proxyHeaders.every((name) => request.headers[name] === undefined)
    );
  }

  /** A page of a foreign site can reach us under a name that its owner lets point here (DNS rebinding); our own names it cannot use. */
  #checkHost({ headers, socket }: IncomingMessage): void {
    const name = hostname(headers.host);
    if (name === undefined) throw new CaissonError("invalid_argument", "The request needs one valid Host header.");
    if (this.#hosts.has(name) || name === literal(plain(socket.localAddress))) return;
    throw new CaissonError(
      "forbidden",
      `This server does not serve the host \`${name.slice(0, 100)}\`. Use another address, or add the name to \`api.hosts\` or \`publicUrl\` in config.json.`,
    );
  }

  /** Browsers send an Origin with all of these; programs send none. */
  #checkOrigin({ headers, method = "" }: IncomingMessage): void {
    const { origin } = headers;
    if (origin === undefined || (safeMethods.has(method) && headers.upgrade === undefined)) return;
    const own = `${this.#options.listening().tls ? "https" : "http"}://${headers.host?.toLowerCase()}`;
    if (origin === own || origin === this.#publicOrigin) return;
    throw new CaissonError("forbidden", "Pages of other sites may not use this server.");
  }
}

/** Refused before anything was done. There can be very many of these, so they are not logged one by one. */
export class RateLimited extends CaissonError {
  constructor(message: string) {
    super("resource_exhausted", message);
  }
}

export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}

function checkSize({ method, url = "", rawHeaders }: IncomingMessage): void {
  if (method === "GET" && url.split("?", 1)[0] === createPath) return;
  // Each field has a colon, a space and a line end.
  const bytes = rawHeaders.reduce((sum, text) => sum + text.length + 2, url.length);
  if (bytes > headBytes.usual)
    throw new CaissonError("too_large", `The head of the request has more than ${headBytes.usual} bytes, the limit.`);
}

/** The host in a Host header, in lower case, IPv6 in brackets. */
function hostname(header: string | undefined): string | undefined {
  return /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?$/.exec((header ?? "").toLowerCase())?.[1];
}

function plain(address = ""): string {
  return address.replace(/^::ffff:(?=\d+\.)/, "");
}

function literal(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}
