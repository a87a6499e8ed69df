/** Certificates for names of previews: the operator's, read again when its file changes, or of an authority of ours, one per name. */
import { readFile, stat } from "node:fs/promises";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";
import { CaissonError } from "@caisson/protocol";
import { limits } from "./limits.ts";

export interface IssuedCertificate {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

export interface Certificates {
  /** @param host canonical; undefined: a certificate for connections that name none of our hosts */
  contextFor(host: string | undefined): Promise<SecureContext>;
}

const options = { minVersion: "TLSv1.2" } as const satisfies SecureContextOptions;
/** A certificate is replaced when it has less left than this, milliseconds. */
const renewBefore = 24 * 3600_000;

export function issuedCertificates(
  domain: string,
  issue: (hosts: readonly string[]) => Promise<IssuedCertificate>,
): Certificates {
  const known = new Map<string, { notAfter: number; context: Promise<SecureContext> }>();
  return {
    async contextFor(host = domain) {
      const found = known.get(host);
      if (found !== undefined && found.notAfter - Date.now() > renewBefore) return await found.context;
      if (known.size >= limits.certificates) known.delete(known.keys().next().value!);
      const issued = issue([host]);
      const entry = {
        notAfter: Number.POSITIVE_INFINITY,
        context: issued.then(({ cert, key }) => createSecureContext({ ...options, cert, key })),
      };
      known.set(host, entry);
      try {
        entry.notAfter = (await issued).notAfter;
        return await entry.context;
      } catch (error) {
        known.delete(host);
        throw error;
      }
    },
  };
}

/** Milliseconds between looks at the files. */
const lookInterval = 1_000;

/** @throws CaissonError `invalid_argument` when the files cannot be read or do not fit together */
export async function operatorsCertificate(certPath: string, keyPath: string): Promise<Certificates> {
  const read = async () => {
    const [cert, key] = await Promise.all([readFile(certPath), readFile(keyPath)]);
    return createSecureContext({ ...options, cert, key });
  };
  const age = async () => (await Promise.all([stat(certPath), stat(keyPath)])).map(({ mtimeMs }) => mtimeMs).join();
  let seen: string;
  let context: SecureContext;
  try {
    seen = await age();
    context = await read();
  } catch (cause) {
    throw new CaissonError(
      "invalid_argument",
      `gateway.cert and gateway.key cannot be used: ${(cause as Error).message}`,
      { cause },
    );
  }
  let lookedAt = performance.now();
  return {
    async contextFor() {
      if (performance.now() - lookedAt > lookInterval) {
        lookedAt = performance.now();
        try {
          const now = await age();
          if (now !== seen) context = await read();
          seen = now;
        } catch {
          // Half replaced: the old one stays in use until the next look.
        }
      }
      return context;
    },
  };
}
