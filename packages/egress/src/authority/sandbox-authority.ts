/** The certificate authority of one sandbox: trusted there and nowhere else. */
import { createECDH, createHmac, hkdfSync, webcrypto } from "node:crypto";
import { authorityFrom, keyAlgorithm, type Authority } from "./authority.ts";

/** Order of the group of P-256 (FIPS 186-4, D.1.2.3). */
const groupOrder = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/**
 * The key follows from the installation's seed and the sandbox's id, so that a restarted proxy goes on being trusted
 * by sandboxes that still run, and nothing about it needs to be stored.
 * @param owner the sandbox's id, or the word that several machines share, see `EgressSpec.authority`
 */
export async function createSandboxAuthority(seed: Uint8Array, owner: string): Promise<Authority> {
  const fingerprint = createHmac("sha256", seed).update(`name:${owner}`).digest("hex").slice(0, 12);
  return await authorityFrom(`Caisson sandbox authority ${fingerprint}`, await deriveKeys(seed, owner));
}

/** Issues certificates for the names of exposed ports. Visitors trust it if they have its certificate; no sandbox does. */
export async function createGatewayAuthority(seed: Uint8Array): Promise<Authority> {
  const fingerprint = createHmac("sha256", seed).update("name:gateway").digest("hex").slice(0, 12);
  return await authorityFrom(`Caisson gateway authority ${fingerprint}`, await deriveKeys(seed, "gateway"));
}

/** @param owner a sandbox's id, or a word that is none */
async function deriveKeys(seed: Uint8Array, owner: string): Promise<webcrypto.CryptoKeyPair> {
  // 128 bits more than the order needs make the bias of the remainder immaterial (FIPS 186-5, A.2.1).
  const material = Buffer.from(hkdfSync("sha256", seed, "caisson egress authority", owner, 48));
  const scalar = (BigInt(`0x${material.toString("hex")}`) % (groupOrder - 1n)) + 1n;
  const secret = Buffer.from(scalar.toString(16).padStart(64, "0"), "hex");
  const curve = createECDH("prime256v1");
  curve.setPrivateKey(secret);
  const point = curve.getPublicKey();
  const jwk = {
    kty: "EC",
    crv: "P-256",
    x: point.subarray(1, 33).toString("base64url"),
    y: point.subarray(33, 65).toString("base64url"),
  };
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey("jwk", { ...jwk, d: secret.toString("base64url") }, keyAlgorithm, false, ["sign"]),
    webcrypto.subtle.importKey("jwk", jwk, keyAlgorithm, true, ["verify"]),
  ]);
  return { privateKey, publicKey };
}
