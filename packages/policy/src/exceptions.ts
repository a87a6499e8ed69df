/** Refuses hosts that are passed through, and authorities of hosts, where they would open more than their owner meant. */
import { X509Certificate } from "node:crypto";
import { CaissonError, type EgressPolicy, type SecretBinding } from "@caisson/protocol";
import { parsePattern, patternsOverlap, type HostPattern } from "./pattern.ts";
import { compilePolicy, type Policy } from "./policy.ts";

/** Of one sandbox: hosts that are passed through, hosts with authorities, certificates of one host, bytes of all certificates. */
const most = { passThrough: 64, authorities: 32, certificates: 16, bytes: 64 * 1024 } as const;

/** @throws CaissonError `invalid_argument` */
export function checkExceptions(policy: EgressPolicy, secrets: readonly Pick<SecretBinding, "name" | "hosts">[]): void {
  const compiled = compilePolicy(policy);
  if (compiled.passThrough.length > most.passThrough)
    throw invalid(`\`passThrough\` can name at most ${most.passThrough} hosts, not ${compiled.passThrough.length}.`);
  for (const pattern of compiled.passThrough) {
    checkAllowed(compiled, pattern, "passThrough");
    const secret = secrets.find(({ hosts }) => hosts.some((source) => sameHost(pattern, parsePattern(source))));
    if (secret !== undefined)
      throw invalid(
        `\`passThrough\` names ${pattern.source}, but the secret ${secret.name} is for ${secret.hosts.join(", ")}. The proxy cannot insert a secret, or remove it from answers, where it does not read. Remove the host from one of them.`,
      );
  }
  const authorities = Object.entries(policy.authorities ?? {});
  if (authorities.length > most.authorities)
    throw invalid(`\`authorities\` can name at most ${most.authorities} hosts, not ${authorities.length}.`);
  if (authorities.reduce((sum, [, pem]) => sum + Buffer.byteLength(pem), 0) > most.bytes)
    throw invalid(`The certificates in \`authorities\` take more than ${most.bytes / 1024} KiB, the limit.`);
  for (const [source, pem] of authorities) {
    const pattern = parsePattern(source);
    checkAllowed(compiled, pattern, "authorities");
    if (compiled.passThrough.some((passed) => patternsOverlap(passed, pattern)))
      throw invalid(
        `\`authorities\` names ${source}, which is passed through. The program itself then checks the certificate. Remove the host from one of them.`,
      );
    checkCertificates(source, pem);
  }
}

function checkAllowed({ restricted, patterns }: Policy, pattern: HostPattern, key: string): void {
  if (!restricted || patterns.some((allowed) => patternsOverlap(allowed, pattern))) return;
  throw invalid(
    `\`${key}\` names ${pattern.source}, which the network policy does not allow. Add ${JSON.stringify(pattern.source)} to the allowed hosts.`,
  );
}

/** A host that got a value by one port may return it by another. */
function sameHost(a: HostPattern, b: HostPattern): boolean {
  const anyPort = ({ kind, host, source }: HostPattern): HostPattern => ({ kind, host, source });
  return patternsOverlap(anyPort(a), anyPort(b));
}

function checkCertificates(source: string, pem: string): void {
  if (pem.includes("PRIVATE KEY"))
    throw invalid(`The text in \`authorities\` for ${source} holds a private key. Give the certificate alone.`);
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0 || blocks.length > most.certificates)
    throw invalid(
      `The text in \`authorities\` for ${source} holds ${blocks.length} certificates. Give 1 to ${most.certificates} in PEM form.`,
    );
  for (const block of blocks) {
    try {
      new X509Certificate(block);
    } catch (cause) {
      throw new CaissonError(
        "invalid_argument",
        `A certificate in \`authorities\` for ${source} cannot be read: ${(cause as Error).message}.`,
        { cause },
      );
    }
  }
}

function invalid(message: string): CaissonError {
  return new CaissonError("invalid_argument", message);
}
