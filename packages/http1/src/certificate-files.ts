/** The operator's certificate: two PEM files that are read again when they change. */
import { readFile, stat } from "node:fs/promises";
import { createSecureContext, type SecureContext, type SecureContextOptions } from "node:tls";

/** Without CBC and SHA-1, which TLS 1.2 of OpenSSL still allows (Mozilla, "intermediate" 5.7). */
export const tlsOptions = {
  minVersion: "TLSv1.2",
  ciphers: [
    ...["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"],
    ...["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256"],
    ...["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384"],
    ...["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305"],
  ].join(":"),
  sigalgs: [
    ...["ECDSA+SHA256", "ECDSA+SHA384", "ECDSA+SHA512", "ed25519"],
    ...["RSA-PSS+SHA256", "RSA-PSS+SHA384", "RSA-PSS+SHA512", "RSA+SHA256", "RSA+SHA384", "RSA+SHA512"],
  ].join(":"),
} as const satisfies SecureContextOptions;

export interface CertificateFiles {
  /** Contents of the files. */
  readonly pem: { readonly cert: Buffer; readonly key: Buffer };
  readonly context: SecureContext;
  /**
   * Looks at the files, and reads them when they changed. While they do not fit together, as when only one is replaced yet, the former
   * ones stay in use.
   * @returns whether there is a new certificate
   */
  refresh(): Promise<boolean>;
}

/** @throws Error when the files cannot be read or do not fit together */
export async function openCertificateFiles(certPath: string, keyPath: string): Promise<CertificateFiles> {
  const read = async () => {
    const [cert, key] = await Promise.all([readFile(certPath), readFile(keyPath)]);
    return { pem: { cert, key }, context: createSecureContext({ ...tlsOptions, cert, key }) };
  };
  const age = async () => (await Promise.all([stat(certPath), stat(keyPath)])).map(({ mtimeMs }) => mtimeMs).join();
  let seen = await age();
  let current = await read();
  return {
    get pem() {
      return current.pem;
    },
    get context() {
      return current.context;
    },
    async refresh() {
      try {
        const now = await age();
        if (now === seen) return false;
        current = await read();
        seen = now;
        return true;
      } catch {
        return false;
      }
    },
  };
}
