/** The upstream connections of one sandbox, shared by its requests and by nobody else. */
import type { SecureContext } from "node:tls";
import type { Host } from "@caisson/policy";
import type { Target } from "../resolve/resolver.ts";
import { Origin, type OriginOptions } from "./origin.ts";
import { WindowBudget } from "./window-budget.ts";

const maxOrigins = 128;
const idleLimit = 120_000;

export class Origins {
  readonly #options: OriginOptions;
  readonly #origins = new Map<string, Origin>();

  readonly #trustFor: (host: Host, port: number) => SecureContext | undefined;

  /** @param trustFor the trust for hosts that have their own */
  constructor(
    options: Omit<OriginOptions, "tlsSessions" | "budget">,
    trustFor: (host: Host, port: number) => SecureContext | undefined = () => undefined,
  ) {
    this.#trustFor = trustFor;
    this.#options = { ...options, tlsSessions: new Map(), budget: new WindowBudget() };
  }

  /** A new answer of DNS is a new target and so a new set of connections; the old ones drain. */
  get(scheme: "https" | "http", host: Host, target: Target, port = target.port): Origin {
    const key = `${scheme} ${host.text}:${port} ${target.key}`;
    let origin = this.#origins.get(key);
    if (origin === undefined) {
      this.#makeRoom();
      // A session that was verified by another trust must not be resumed.
      const trust = this.#trustFor(host, port);
      origin = new Origin(
        scheme,
        host.text,
        target,
        trust === undefined ? this.#options : { ...this.#options, trust, tlsSessions: new Map() },
      );
    }
    origin.usedAt = performance.now();
    this.#origins.delete(key);
    this.#origins.set(key, origin);
    return origin;
  }

  #makeRoom(): void {
    const now = performance.now();
    for (const [key, origin] of this.#origins) {
      if (this.#origins.size < maxOrigins && now - origin.usedAt < idleLimit) break;
      this.#origins.delete(key);
      origin.retire();
    }
  }

  destroy(): void {
    for (const origin of this.#origins.values()) origin.destroy();
    this.#origins.clear();
  }
}
