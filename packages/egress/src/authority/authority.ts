/** A certificate authority and the certificates it issues. */
import { randomBytes, webcrypto } from "node:crypto";
import { isIP } from "node:net";
// The X.509 library registers its parts through decorators and needs this first.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

/** Fits the options of `node:tls`. */
export interface Leaf {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** Milliseconds since the epoch. */
  readonly notAfter: number;
}

export interface Authority {
  readonly certificatePem: string;
  /** A certificate for exactly these hosts, ASCII names or addresses; at least one. */
  issue(hosts: readonly string[]): Promise<Leaf>;
}

export const keyAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const day = 24 * 3600 * 1000;
/** A guest's clock may lag behind after a pause. */
const backdate = 2 * day;
const authorityLifetime = 400 * day;
/** Below the 398 days that some clients insist on (CA/Browser Forum, Ballot SC-22). */
const leafLifetime = 30 * day;
/** An authority with a key of its own; for hosts that stand in for others, as in demonstrations and tests. */
export async function createAuthority(name: string): Promise<Authority> {
  return await authorityFrom(name, await webcrypto.subtle.generateKey(keyAlgorithm, false, ["sign", "verify"]));
}

/** @param name at most 50 characters of ASCII without `,`, `+`, `=` and quotes */
export async function authorityFrom(name: string, keys: webcrypto.CryptoKeyPair): Promise<Authority> {
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=${name}, O=Caisson`,
    notBefore: new Date(now - backdate),
    notAfter: new Date(now + authorityLifetime),
    signingAlgorithm: keyAlgorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const leafKeys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ["sign", "verify"]);
  const keyPem = x509.PemConverter.encode(
    await webcrypto.subtle.exportKey("pkcs8", leafKeys.privateKey),
    "PRIVATE KEY",
  );
  return {
    certificatePem: certificate.toString("pem"),
    async issue(hosts) {
      const at = Date.now();
      const leaf = await x509.X509CertificateGenerator.create({
        serialNumber: serial(),
        subject: commonName(hosts[0]!),
        issuer: certificate.subject,
        notBefore: new Date(at - backdate),
        notAfter: new Date(at + leafLifetime),
        signingAlgorithm: keyAlgorithm,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
          new x509.SubjectAlternativeNameExtension(
            hosts.map((host) => ({ type: isIP(host) === 0 ? ("dns" as const) : ("ip" as const), value: host })),
          ),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
          await x509.SubjectKeyIdentifierExtension.create(leafKeys.publicKey),
        ],
      });
      return { cert: leaf.toString("pem"), key: keyPem, notAfter: at + leafLifetime };
    },
  };
}

/** Positive, 127 bits, never zero. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return bytes.toString("hex");
}

/** A common name holds at most 64 characters (RFC 5280, A.1); the name that counts is the alternative one. */
function commonName(host: string): x509.JsonName {
  return host.length <= 64 ? [{ CN: [host] }] : [{ O: ["Caisson"] }];
}
