/** A certificate authority for the stand-ins of upstream hosts, and certificates that are wrong in chosen ways. */
import { webcrypto } from "node:crypto";
// The X.509 library registers its parts through decorators and needs this first.
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

export interface Identity {
  readonly cert: string;
  readonly key: string;
}

export type Fault = "expired" | "wrong-name" | "self-signed" | "unknown-authority";

export interface TestAuthority {
  readonly certificatePem: string;
  /** A certificate for these names and nothing else. */
  issue(names: readonly string[], fault?: Fault): Promise<Identity>;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const day = 24 * 3600 * 1000;

export async function createTestAuthority(): Promise<TestAuthority> {
  const [trusted, stranger] = await Promise.all([selfSigned("Egress tests"), selfSigned("Nobody trusts this")]);
  return {
    certificatePem: trusted.certificate.toString("pem"),
    async issue(names, fault) {
      const keys = await newKeys();
      const key = x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
      if (fault === "self-signed")
        return { cert: (await selfSigned(names[0] ?? "", names, keys)).certificate.toString("pem"), key };
      const issuer = fault === "unknown-authority" ? stranger : trusted;
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=${(names[0] ?? "").slice(0, 60)}`,
        issuer: issuer.certificate.subject,
        notBefore: new Date(Date.now() - 30 * day),
        notAfter: new Date(Date.now() + (fault === "expired" ? -day : 30 * day)),
        signingAlgorithm: algorithm,
        publicKey: keys.publicKey,
        signingKey: issuer.keys.privateKey,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          alternativeNames(fault === "wrong-name" ? ["somebody-else.example"] : names),
          // Python insists on it.
          await x509.AuthorityKeyIdentifierExtension.create(issuer.keys.publicKey),
        ],
      });
      return { cert: certificate.toString("pem"), key };
    },
  };
}

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

function alternativeNames(names: readonly string[]): x509.SubjectAlternativeNameExtension {
  return new x509.SubjectAlternativeNameExtension(
    names.map((value) => ({ type: /^[\d.]+$|:/.test(value) ? ("ip" as const) : ("dns" as const), value })),
  );
}

async function selfSigned(name: string, names: readonly string[] = [], given?: webcrypto.CryptoKeyPair) {
  const keys = given ?? (await newKeys());
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    notBefore: new Date(Date.now() - 30 * day),
    notAfter: new Date(Date.now() + 30 * day),
    signingAlgorithm: algorithm,
    keys,
    extensions: [
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ...(names.length > 0
        ? [alternativeNames(names)]
        : [
            new x509.BasicConstraintsExtension(true, undefined, true),
            new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
          ]),
    ],
  });
  return { certificate, keys };
}
