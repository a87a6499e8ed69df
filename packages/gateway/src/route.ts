/** Where a request leads. An ambiguous request is refused before any of its bytes are forwarded. */
import { CaissonError, type HttpDirectory, type HttpRoute } from "@caisson/protocol";
import type { Refusal } from "./refusal.ts";
import type { Exchange } from "./exchange.ts";
import { limits } from "./limits.ts";
import { isElsewhere, type Names } from "./names.ts";
import { within } from "./within.ts";

/** The name that a request is addressed to. */
export interface Address {
  /** What is left of the gateway's domain, or a hostname elsewhere with a final dot. */
  readonly name: string;
  /** Canonical hostname, without port. */
  readonly host: string;
  /** As the visitor wrote it, with the port if there is one. */
  readonly authority: string;
}

/** @param tls whether visitors speak TLS with the gateway, and so send the hostname a second time */
export function addressOf(exchange: Exchange, names: Names, tls: boolean): Address | Refusal {
  const { authority } = exchange;
  if (authority === undefined) return malformed("A request must have exactly one Host header.");
  // Also refused: the absolute form, whose host has precedence over the header, and `*`.
  if (!exchange.target.startsWith("/")) return malformed("The target of a request must be a path.");
  if (exchange.fault !== undefined) return malformed(exchange.fault);
  const name = names.anyNameIn(authority);
  if (name === undefined) return foreign;
  if (tls && (exchange.servername === undefined || names.anyNameIn(exchange.servername) !== name)) {
    if (isElsewhere(name)) return foreign;
    return {
      status: 421,
      rule: "server-name-mismatch",
      message: "The connection was made for another hostname than the request. Make a new connection.",
    };
  }
  return { name, host: names.host(name), authority };
}

const malformed = (message: string): Refusal => ({ status: 400, rule: "malformed-request", message });

/**
 * Asks a directory, and waits no longer than a visitor would.
 * @param signal aborts when the visitor has disconnected
 * @param log gets what went wrong inside the platform
 */
export async function findRoute(
  directory: Pick<HttpDirectory, "find">,
  name: string,
  signal: AbortSignal,
  log: (error: unknown) => void,
): Promise<HttpRoute | Refusal> {
  const limit = within([signal], limits.find, lookupTooSlow);
  try {
    const route = await limit.during(unlessAborted((either) => directory.find(name, { signal: either }), limit.signal));
    if (route === undefined) return isElsewhere(name) ? foreign : nobodys;
    if (route === "reserved") return reserved;
    return route === "ended" || route.ended.aborted ? ended : route;
  } catch (error) {
    if (error === lookupTooSlow) return late;
    if (!(error instanceof CaissonError)) {
      if (!signal.aborted) log(error);
      return { status: 500, rule: "lookup-failed", message: "The gateway failed to look up this address. Try again." };
    }
    return { status: Math.max(error.status, 500), rule: "not-available", message: error.message };
  }
}

const lookupTooSlow = new Error("The directory did not answer in time.");
const foreign: Refusal = {
  status: 421,
  rule: "foreign-host",
  message: "This gateway serves exposed ports of sandboxes and apps. Nothing of them has this hostname.",
};
const nobodys: Refusal = {
  status: 404,
  rule: "no-such-preview",
  message: "Nothing is exposed at this address. Check the address: it never existed, or it ended long ago.",
};
const ended: Refusal = {
  status: 410,
  rule: "sandbox-ended",
  message: "What was served at this address has ended, and the address with it.",
};
const reserved: Refusal = {
  status: 404,
  rule: "not-exposed-yet",
  message: "This address is reserved, but no port is exposed at it yet.",
};
const late: Refusal = {
  status: 504,
  rule: "no-answer",
  message: "What this address leads to did not become available in time. Try again.",
};

/** A directory may be slow to notice the signal; nobody waits for it then. */
export function unlessAborted<T>(task: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    task(signal)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", abort));
  });
}
