/** Refuses, when a sandbox is created, what the proxy could not enforce later. */
import { CaissonError, type EgressPolicy, type SecretBinding } from "@caisson/protocol";
import { checkExceptions } from "./exceptions.ts";
import { parsePattern, patternsOverlap } from "./pattern.ts";
import { compilePolicy } from "./policy.ts";
import { checkSecrets } from "./secrets.ts";

/**
 * Checks that a policy and its secrets can be enforced; fails closed.
 * @throws CaissonError `invalid_argument`, saying how to write it right
 */
export function validateEgress(policy: EgressPolicy, secrets: readonly SecretBinding[]): void {
  checkHosts(policy, secrets);
  checkExceptions(policy, secrets);
  checkSecrets(secrets);
}

/** Checks a policy and the hosts of its secrets. */
export function checkHosts(policy: EgressPolicy, secrets: readonly Pick<SecretBinding, "name" | "hosts">[]): void {
  const compiled = compilePolicy(policy);
  const budget = policy.maxBytesOutPerHost;
  if (budget !== undefined && (!Number.isSafeInteger(budget) || budget < 0)) {
    throw new CaissonError("invalid_argument", "`maxBytesOutPerHost` must be a whole number of bytes, 0 or more.");
  }
  for (const secret of secrets) {
    if (secret.hosts.length === 0) {
      throw new CaissonError(
        "invalid_argument",
        `The secret ${secret.name} names no host. List the hosts that may receive it.`,
      );
    }
    for (const source of secret.hosts) {
      const pattern = parsePattern(source);
      if (pattern.kind === "ip") {
        throw new CaissonError(
          "invalid_argument",
          `The secret ${secret.name} names the address ${source}. Certificates prove names, not addresses, so a secret can only go to a host name.`,
        );
      }
      if (pattern.port === 80) {
        throw new CaissonError(
          "invalid_argument",
          `The secret ${secret.name} is for port 80 of ${pattern.host}. Secrets are sent only over HTTPS. Use another port, or none.`,
        );
      }
      if (compiled.restricted && !compiled.patterns.some((allowed) => patternsOverlap(allowed, pattern))) {
        throw new CaissonError(
          "invalid_argument",
          `The secret ${secret.name} is for ${source}, which the network policy does not allow. Add ${JSON.stringify(source)} to the allowed hosts, or remove it from the secret.`,
        );
      }
    }
  }
}
