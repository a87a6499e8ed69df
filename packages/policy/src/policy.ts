/** A compiled `EgressPolicy`: whether a canonical host and a port are allowed. */
import type { EgressPolicy } from "@caisson/protocol";
import type { Host } from "./canonical-host.ts";
import { parsePattern, patternMatches, type HostPattern } from "./pattern.ts";

export interface Policy {
  /** Whether there is an allow list. Without one every public host may be reached. */
  readonly restricted: boolean;
  readonly patterns: readonly HostPattern[];
  /** Bytes that may leave to one host over the sandbox's life. */
  readonly maxBytesOutPerHost?: number;
  readonly passThrough: readonly HostPattern[];
  allows(host: Host, port: number): boolean;
  /** Whether the host is allowed on some port. */
  allowsName(host: Host): boolean;
  /** Whether the owner has the bytes of this host passed through unread. */
  passes(host: Host, port: number): boolean;
  /** Certificates (PEM) that are trusted for this host in place of the public authorities; undefined: the usual ones. */
  authorityOf(host: Host, port: number): string | undefined;
}

/** @throws CaissonError `invalid_argument` for a pattern outside the grammar */
export function compilePolicy(policy: EgressPolicy): Policy {
  const patterns = (policy.allow ?? []).map(parsePattern);
  const passThrough = (policy.passThrough ?? []).map(parsePattern);
  const authorities = Object.entries(policy.authorities ?? {}).map(([source, pem]) => ({
    pattern: parsePattern(source),
    pem,
  }));
  const restricted = policy.allow !== undefined;
  return {
    restricted,
    patterns,
    allowsName: (host) => !restricted || patterns.some((pattern) => patternMatches(pattern, host, pattern.port ?? 0)),
    passThrough,
    passes: (host, port) => passThrough.some((pattern) => patternMatches(pattern, host, port)),
    authorityOf: (host, port) => authorities.find(({ pattern }) => patternMatches(pattern, host, port))?.pem,
    ...(policy.maxBytesOutPerHost !== undefined && { maxBytesOutPerHost: policy.maxBytesOutPerHost }),
    allows: (host, port) => !restricted || patterns.some((pattern) => patternMatches(pattern, host, port)),
  };
}
