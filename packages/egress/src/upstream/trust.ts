/** The certificate authorities that are trusted for upstreams: those of Node, of the node's system, and the operator's own. */
import { readFileSync } from "node:fs";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";

/** Trusts these certificates (PEM) alone: an authority, or the certificate of a server that nobody has signed. */
export function trustOnly(pem: string): SecureContext {
  return createSecureContext({ ca: pem, minVersion: "TLSv1.2", allowPartialTrustChain: true });
}

/** @throws Error when a file cannot be read; the configuration is wrong then */
export function createUpstreamTrust(extraCa: readonly string[]): SecureContext {
  const extra = extraCa.map((path) => readFileSync(path, "utf8"));
  const ca = [...new Set([...getCACertificates("bundled"), ...getCACertificates("system"), ...extra])];
  return createSecureContext({ ca, minVersion: "TLSv1.2" });
}
