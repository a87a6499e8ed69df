/** Secrets as a sandbox sees them: random text in the place of the value. */
import type { SecretBinding } from "@caisson/protocol";
import { randomText } from "../kernel/random-text.ts";

export interface SecretRequest {
  readonly value: string;
  readonly hosts: readonly string[];
  readonly inBody?: boolean | undefined;
  readonly methods?: readonly string[] | undefined;
  readonly pathPrefixes?: readonly string[] | undefined;
}

/** Binds each secret to a placeholder made for one sandbox: 190 random bits, nothing that needs escaping anywhere. */
export function bindSecrets(requests: Readonly<Record<string, SecretRequest>>): SecretBinding[] {
  return Object.entries(requests).map(([name, { value, hosts, inBody, methods, pathPrefixes }]) => ({
    name,
    placeholder: `caisson-secret-${name
      .toLowerCase()
      .replaceAll(/[^a-z0-9]/g, "-")
      .slice(0, 40)}-${randomText(32)}`,
    value,
    hosts,
    ...(inBody === undefined ? {} : { inBody }),
    ...(methods === undefined ? {} : { methods: methods.map((method) => method.toUpperCase()) }),
    ...(pathPrefixes === undefined ? {} : { pathPrefixes }),
  }));
}
