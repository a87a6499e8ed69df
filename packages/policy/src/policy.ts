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
  allows(host: Host, port: number): boolean;
}

/** @throws CaissonError `invalid_argument` for a pattern outside the grammar */
export function compilePolicy(policy: EgressPolicy): Policy {
  const patterns = (policy.allow ?? []).map(parsePattern);
  const restricted = policy.allow !== undefined;
  return {
    restricted,
    patterns,
    ...(policy.maxBytesOutPerHost !== undefined && { maxBytesOutPerHost: policy.maxBytesOutPerHost }),
    allows: (host, port) => !restricted || patterns.some((pattern) => patternMatches(pattern, host, port)),
  };
}
