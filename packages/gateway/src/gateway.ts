/** Ways in by HTTPS. The gateway serves nothing but what its directories find. */
import type { Config, HttpDirectory, HttpGateway, PublicCertificates, Visit } from "@caisson/protocol";
import { AddressRate, AddressShares, Clients, listValue } from "@caisson/http1";
import type { Logger } from "pino";
import type { Refusal } from "./refusal.ts";
import {
  issuedCertificates,
  operatorsCertificate,
  withPublic,
  type Certificates,
  type IssuedCertificate,
} from "./certificates.ts";
import type { Exchange } from "./exchange.ts";
import { forward } from "./forward.ts";
import { forwardGrpc, isGrpc } from "./forward-grpc.ts";
import type { Http1Exchange } from "./http1-exchange.ts";
import { limits } from "./limits.ts";
import { Listener } from "./listener.ts";
import { createNames, type Names } from "./names.ts";
import { admitted, redirect } from "./protection.ts";
import { addressOf, findRoute, unlessAborted } from "./route.ts";
import { endSlowBody } from "./slow-body.ts";
import { join } from "./websocket.ts";
import { visitorLeft } from "./within.ts";

export interface GatewayOptions {
  readonly config: Config["gateway"];
  readonly port: number;
  /** Addresses and ranges (CIDR) of reverse proxies whose `X-Forwarded-For` counts. Default: none. */
  readonly trustedProxies?: readonly string[];
  /** Issues certificates for names of the gateway, where the operator gave none. */
  readonly issue: (hosts: readonly string[]) => Promise<IssuedCertificate>;
  readonly log: Logger;
}

interface WebSocketVisit {
  readonly exchange: Http1Exchange;
  readonly accepted: () => void;
}

/** Seconds of a rate that may come at once. */
const burstSeconds = 10;

export function createGateway(options: GatewayOptions): HttpGateway {
  return new Gateway(options);
}

class Gateway implements HttpGateway {
  readonly #options: GatewayOptions;
  readonly #names: Names;
  readonly #listeners: ((visit: Visit) => void)[] = [];
  /** Requests and WebSockets under way, by workload. */
  readonly #active = new Map<string, number>();
  /** What of that each address has, by workload. */
  readonly #shares = new Map<string, AddressShares>();
  readonly #byAddress: AddressRate;
  readonly #byWorkload: AddressRate;
  readonly #clients: Clients;
  #directory: HttpDirectory | undefined;
  #listener: Listener | undefined;
  #port: number;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#port = options.port;
    this.#names = createNames(options.config.domain);
    const { connectionsPerAddress, handshakesPerAddress, requestsPerAddress, requestsPerSandbox } = options.config;
    this.#byAddress = new AddressRate(requestsPerAddress, requestsPerAddress * burstSeconds);
    this.#byWorkload = new AddressRate(requestsPerSandbox, requestsPerSandbox * burstSeconds);
    const trustedProxies = options.trustedProxies ?? [];
    this.#clients = new Clients({ trustedProxies, connectionsPerAddress, handshakesPerAddress });
  }

  addressOf(name: string): string {
    return this.#names.address(name, this.#options.config.publicPort ?? this.#port);
  }

  nameIn(address: string): string | undefined {
    return this.#names.nameIn(address);
  }

  onVisit(listener: (visit: Visit) => void): void {
    this.#listeners.push(listener);
  }

  async listen(directory: HttpDirectory, outside?: PublicCertificates): Promise<void> {
    this.#directory = directory;
    const { config, port } = this.#options;
    const certificates = config.tls ? withPublic(await this.#certificates(), outside) : undefined;
    this.#listener = new Listener({
      host: config.host,
      port,
      http2: config.http2,
      contextFor: certificates && (async (servername) => certificates.contextFor(await this.#certifiable(servername))),
      challenge: outside && ((servername) => outside.challenge(servername.toLowerCase().replace(/\.$/, ""))),
      clients: this.#clients,
      log: this.#options.log,
      onRequest: (exchange) => this.#accept(exchange),
      onWebSocket: (exchange, accepted) => this.#accept(exchange, { exchange, accepted }),
    });
    this.#port = await this.#listener.listen();
  }

  async #certificates(): Promise<Certificates> {
    const { config, issue } = this.#options;
    return config.cert === undefined || config.key === undefined
      ? issuedCertificates(config.domain, issue)
      : await operatorsCertificate(config.cert, config.key);
  }

  /** The hostname, if it may get a certificate: only names that exist or did may, or strangers could make us sign without end. */
  async #certifiable(servername: string): Promise<string | undefined> {
    const name = this.#names.anyNameIn(servername);
    if (name === undefined) return undefined;
    try {
      const known = await unlessAborted(
        (signal) => this.#directory!.known(name, { signal }),
        AbortSignal.timeout(limits.handshake),
      );
      return known ? this.#names.host(name) : undefined;
    } catch (error) {
      this.#options.log.error({ err: error }, "cannot look up a name for its certificate");
      throw error;
    }
  }

  #accept(exchange: Exchange, websocket?: WebSocketVisit): void {
    this.#visit(exchange, websocket).catch((error: unknown) => {
      this.#options.log.error({ err: error }, "a visit failed inside the gateway");
      try {
        exchange.refuse(failed);
      } catch {
        // The answer itself cannot be written. Nobody else would end the connection.
        websocket?.exchange.socket.destroy();
      }
    });
  }

  async #visit(exchange: Exchange, websocket: WebSocketVisit | undefined): Promise<void> {
    const { config, log } = this.#options;
    const started = { at: Date.now(), clock: performance.now() };
    const address = addressOf(exchange, this.#names, config.tls);
    if ("rule" in address) return exchange.refuse(address);
    const ending = websocket === undefined ? exchange.onClose.bind(exchange) : onSocketClose(websocket.exchange);
    const forwardedFor = listValue(exchange.headers, "x-forwarded-for");
    const visitor = this.#clients.addressOf(exchange.peer, forwardedFor) || "unknown";
    if (!this.#byAddress.take(visitor)) return exchange.refuse(tooOftenOfAddress);
    const giveBack = this.#clients.admit(exchange.peer, forwardedFor);
    if (giveBack === undefined) return exchange.refuse(tooManyOfAddress);
    ending(giveBack);
    const left = new AbortController();
    ending(() => left.abort(visitorLeft));
    const route = await findRoute(this.#directory!, address.name, left.signal, (error) =>
      log.error({ err: error }, "cannot find a route"),
    );
    if (left.signal.aborted) return;
    if ("rule" in route) return exchange.refuse(route);
    const passed = await admitted(exchange, route.guard, websocket !== undefined, log);
    if (left.signal.aborted) return;
    if ("rule" in passed) return exchange.refuse(passed);
    if ("redirect" in passed) return redirect(exchange, passed);
    const { target } = passed;
    const { workloadId } = route;
    if (!this.#byWorkload.take(workloadId)) return exchange.refuse(tooOften);
    const giveShareBack = this.#shareOf(workloadId).take(visitor);
    if (giveShareBack === undefined) return exchange.refuse(tooManyOfAddress);
    ending(giveShareBack);
    const active = this.#active.get(workloadId) ?? 0;
    if (active >= config.connectionsPerSandbox) return exchange.refuse(tooMany);
    this.#active.set(workloadId, active + 1);
    let status: number | undefined;
    ending(() => {
      const others = (this.#active.get(workloadId) ?? 1) - 1;
      if (others === 0) {
        this.#active.delete(workloadId);
        this.#shares.delete(workloadId);
      } else this.#active.set(workloadId, others);
      this.#report({
        workloadId,
        name: address.name,
        kind: websocket === undefined ? "request" : "websocket",
        version: exchange.version,
        at: started.at,
        durationMs: Math.round(performance.now() - started.clock),
        visitor,
        method: exchange.method.slice(0, 32),
        path: exchange.target.split("?", 1)[0]!.slice(0, limits.loggedPath),
        status: status ?? exchange.status ?? 499,
        rule: exchange.rule,
        ...exchange.traffic(),
      });
    });
    if (websocket === undefined) {
      ending(endSlowBody(exchange));
      if (exchange.version === "2" && isGrpc(exchange.headers))
        forwardGrpc({ exchange, target, visitor, address, route });
      else forward({ exchange, target, visitor, address, route });
      return;
    }
    const { response, socket } = websocket.exchange;
    forward({
      exchange,
      target,
      visitor,
      address,
      route,
      upgraded: (inside, headers) => {
        status = 101;
        websocket.accepted();
        response.detachSocket(socket);
        join({ visitor: socket, inside, headers, ended: route.ended });
      },
    });
  }

  /** So that one address cannot take all connections of a sandbox. */
  #shareOf(workloadId: string): AddressShares {
    const known = this.#shares.get(workloadId);
    if (known !== undefined) return known;
    const shares = new AddressShares(Math.max(1, Math.ceil(this.#options.config.connectionsPerSandbox * 0.75)));
    this.#shares.set(workloadId, shares);
    return shares;
  }

  #report(visit: Visit): void {
    for (const listener of this.#listeners) listener(visit);
  }

  async close(): Promise<void> {
    await this.#listener?.close();
  }
}

/** A WebSocket is over when its connection is. */
function onSocketClose({ socket }: Http1Exchange): (listener: () => void) => void {
  return (listener) => void (socket.closed ? listener() : socket.once("close", listener));
}

const failed: Refusal = {
  status: 500,
  rule: "gateway-failed",
  message: "The gateway failed to serve this request. Try again.",
};
const tooOften: Refusal = {
  status: 429,
  rule: "too-many-requests",
  message: "This sandbox gets too many requests in a second. Try again in a moment.",
};
const tooOftenOfAddress: Refusal = {
  status: 429,
  rule: "too-many-requests",
  message: "Your address sent too many requests in a second. Try again in a moment.",
};
const tooMany: Refusal = {
  status: 503,
  rule: "too-many-connections",
  message: "Too many requests to this sandbox are under way. Try again when some have ended.",
};
const tooManyOfAddress: Refusal = {
  status: 503,
  rule: "too-many-connections",
  message: "Too many requests from your address are under way. Try again when some have ended.",
};
