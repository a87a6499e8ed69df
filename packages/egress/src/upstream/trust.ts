/** The certificate authorities that are trusted for upstreams: those of Node, of the node's system, and the operator's own. */
import { readFileSync } from "node:fs";
import { createSecureContext, getCACertificates, type SecureContext } from "node:tls";

/** @throws Error when a file cannot be read; the configuration is wrong then */
export function createUpstreamTrust(extraCa: readonly string[]): SecureContext {
  const extra = extraCa.map((path) => readFileSync(path, "utf8"));
  const ca = [...new Set([...getCACertificates("bundled"), ...getCACertificates("system"), ...extra])];
  return createSecureContext({ ca, minVersion: "TLSv1.2" });
}
