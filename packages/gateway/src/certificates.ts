/** Certificates for names of previews: the operator's, read again when its file changes, or of an authority of ours, one per name. */
import { createSecureContext, type SecureContext } from "node:tls";
import { openCertificateFiles, tlsOptions } from "@caisson/http1";
import { CaissonError, type PublicCertificate, type PublicCertificates } from "@caisson/protocol";
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
        context: issued.then(({ cert, key }) => createSecureContext({ ...tlsOptions, cert, key })),
      };
      known.set(host, entry);
      try {
        // Both at once: a promise that fails while nobody waits for it would end the process.
        const [{ notAfter }, context] = await Promise.all([issued, entry.context]);
        entry.notAfter = notAfter;
        return context;
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
  const files = await openCertificateFiles(certPath, keyPath).catch((cause: Error) => {
    throw new CaissonError("invalid_argument", `gateway.cert and gateway.key cannot be used: ${cause.message}`, {
      cause,
    });
  });
  let lookedAt = performance.now();
  return {
    async contextFor() {
      if (performance.now() - lookedAt > lookInterval) {
        lookedAt = performance.now();
        await files.refresh();
      }
      return files.context;
    },
  };
}

/** Public certificates where there are some, and the others meanwhile. */
export function withPublic(others: Certificates, outside: PublicCertificates | undefined): Certificates {
  if (outside === undefined) return others;
  const contexts = new WeakMap<PublicCertificate, SecureContext>();
  return {
    async contextFor(host) {
      const found = host === undefined ? undefined : outside.find(host);
      if (found === undefined) return await others.contextFor(host);
      const context = contexts.get(found) ?? createSecureContext({ ...tlsOptions, ...found });
      contexts.set(found, context);
      return context;
    },
  };
}
