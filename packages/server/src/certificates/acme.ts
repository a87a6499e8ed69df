/** One order of a certificate by ACME (RFC 8555), with the library acme-client. */
import { readFile } from "node:fs/promises";
import { Agent } from "node:https";
import type { Config, PublicCertificate } from "@caisson/protocol";
import { axios, Client, crypto } from "acme-client";
import { runHook } from "./hook.ts";
import type { CertificateStore, StoredCertificate } from "./store.ts";

/** Milliseconds for one answer of the authority. The library waits for ever. */
axios.defaults.timeout = 60_000;

type Acme = NonNullable<Config["gateway"]["acme"]>;

export interface Order {
  readonly config: Acme;
  readonly store: CertificateStore;
  /** A hostname, or `*.` and one. */
  readonly host: string;
  /** Proofs that the gateway shows to the authority, by hostname (RFC 8737). */
  readonly proofs: Map<string, PublicCertificate>;
  readonly signal: AbortSignal;
}

/** @throws Error of the authority, or CaissonError of the hook */
export async function order({ config, store, host, proofs, signal }: Order): Promise<StoredCertificate> {
  const { directory, directoryCa, email, challenge: kind, dnsHook } = config;
  // The library has one HTTP client for all; only its authority differs.
  if (directoryCa !== undefined) axios.defaults.httpsAgent = new Agent({ ca: await readFile(directoryCa) });
  const accountKey = await store.accountKey(directory, async () => String(await crypto.createPrivateEcdsaKey()));
  const client = new Client({ directoryUrl: directory, accountKey });
  const privateKey = await crypto.createPrivateEcdsaKey("P-256");
  const [key, csr] = await crypto.createCsr({ altNames: [host] }, privateKey);
  const recordOf = (name: string, value: string) => ({ name: `_acme-challenge.${name}`, value });
  const cert = await client.auto({
    csr,
    ...(email !== undefined && { email }),
    termsOfServiceAgreed: true,
    challengePriority: [kind],
    // Whether the authority sees the proof is its own matter; from here names may look different.
    skipChallengeVerification: true,
    async challengeCreateFn(authorization, challenge, value) {
      signal.throwIfAborted();
      const { value: name } = authorization.identifier;
      if (challenge.type === "dns-01") return await runHook(dnsHook!, "present", recordOf(name, value), signal);
      if ((challenge.type as string) !== "tls-alpn-01") throw new Error(`The authority offers no ${kind} for ${name}.`);
      // OpenSSL has chosen the kind of key before ALPN; the gateway's own certificates have such a one.
      const [proofKey, proof] = await crypto.createAlpnCertificate(
        authorization,
        value,
        await crypto.createPrivateEcdsaKey("P-256"),
      );
      proofs.set(name, { cert: String(proof), key: String(proofKey) });
    },
    async challengeRemoveFn(authorization, challenge, value) {
      const { value: name } = authorization.identifier;
      proofs.delete(name);
      if (challenge.type === "dns-01") await runHook(dnsHook!, "cleanup", recordOf(name, value), signal);
    },
  });
  const { notBefore, notAfter } = crypto.readCertificateInfo(cert);
  return { host, cert, key: String(key), notBefore: notBefore.getTime(), notAfter: notAfter.getTime() };
}
