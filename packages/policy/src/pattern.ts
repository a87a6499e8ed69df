/** Host patterns, the grammar of `allowNet`: `host`, `host:port`, `*.host[:port]`, `IPv4[:port]`, `[IPv6][:port]`. */
import { CaissonError } from "@caisson/protocol";
import { canonicalHost, type Host } from "./canonical-host.ts";

export interface HostPattern {
  readonly kind: "name" | "below" | "ip";
  /** Canonical. For `below` the part after `*.`; the name itself does not match, as in the wire contract. */
  readonly host: string;
  /** Absent: every port. */
  readonly port?: number;
  readonly source: string;
}

const forms = "Write `api.example.com`, `api.example.com:8443`, `*.example.com`, `203.0.113.7`, or `[2001:db8::7]:443`";

/** @throws CaissonError `invalid_argument`, with how to write the pattern right */
export function parsePattern(source: string): HostPattern {
  const refuse = (why: string): never => {
    throw new CaissonError(
      "invalid_argument",
      `The host pattern ${JSON.stringify(source.slice(0, 200))} ${why}. ${forms}.`,
    );
  };
  const text = source.trim();
  if (text === "") return refuse("is empty");
  if (text === "*" || /^\*(\.\*)?(:|$)/.test(text))
    return refuse("would match every host; leave the list out to allow all hosts, or name them");
  if (text.includes("://")) return refuse("is a URL; leave out the scheme and the path");
  if (text.includes("/")) return refuse("has a path or a prefix length; patterns name hosts, not URLs or ranges");
  if (text.includes("@")) return refuse("holds user information");
  const below = text.startsWith("*.");
  const rest = below ? text.slice(2) : text;
  if (rest.includes("*")) return refuse("has a `*` that is not the whole first label");
  if (!rest.startsWith("[") && rest.split(":").length > 2) return refuse("looks like IPv6 without brackets");
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::(.*))?$/.exec(rest);
  if (match === null) return refuse("is not a host");
  const port = match[2] === undefined ? undefined : parsePort(match[2]);
  if (port === null) return refuse("has a port that is not a number from 1 to 65535");
  const host = canonicalHost(match[1]!);
  if (host === undefined) return refuse("is not a valid host name or address");
  if (below && host.kind === "ip") return refuse("puts `*.` before an address");
  if (below && !host.text.includes(".")) return refuse("would match every name below a top-level domain");
  const kind = host.kind === "ip" ? "ip" : below ? "below" : "name";
  return { kind, host: host.text, ...(port !== undefined && { port }), source: text };
}

function parsePort(text: string): number | null {
  if (!/^[0-9]{1,5}$/.test(text)) return null;
  const port = Number(text);
  return port >= 1 && port <= 65535 ? port : null;
}

/** `host` must be canonical. */
export function patternMatches(pattern: HostPattern, host: Host, port: number): boolean {
  if (pattern.port !== undefined && pattern.port !== port) return false;
  switch (pattern.kind) {
    case "ip":
      return host.kind === "ip" && host.text === pattern.host;
    case "name":
      return host.kind === "name" && host.text === pattern.host;
    default:
      return host.kind === "name" && host.text.endsWith(`.${pattern.host}`);
  }
}

/** Whether some host and port exist that both patterns match. */
export function patternsOverlap(a: HostPattern, b: HostPattern): boolean {
  if (a.port !== undefined && b.port !== undefined && a.port !== b.port) return false;
  if (a.kind === "ip" || b.kind === "ip") return a.kind === b.kind && a.host === b.host;
  if (a.kind === "name" && b.kind === "name") return a.host === b.host;
  if (a.kind === "below" && b.kind === "below")
    return a.host === b.host || a.host.endsWith(`.${b.host}`) || b.host.endsWith(`.${a.host}`);
  const [name, below] = a.kind === "name" ? [a, b] : [b, a];
  return name.host.endsWith(`.${below.host}`);
}
