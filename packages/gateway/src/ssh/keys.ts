/** Public keys of clients: which ones can be registered, and whether a client has the private part of one. */
import { createHash, createPublicKey } from "node:crypto";
import { CaissonError, type SshAllowedKey, type SshKey } from "@caisson/protocol";
import ssh2, { type ParsedKey, type PublicKeyAuthContext } from "ssh2";

/** Type, base64, and perhaps a comment. */
const line = /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+={0,2})(?: [^\r\n\0]*)?$/;
const rsaBits = { least: 2048, most: 8192 };

/** @throws CaissonError `invalid_argument` */
export function readKey(text: string): SshKey {
  const refuse = (why: string) =>
    new CaissonError("invalid_argument", `${why} Give the one line of the file whose name ends in \`.pub\`.`);
  if (text.includes("PRIVATE KEY"))
    throw refuse("This is a private key, which nobody but its owner should have. It was not stored.");
  const match = line.exec(text.trim());
  if (match === null)
    throw refuse(
      "This is no public key of the types ssh-ed25519, ecdsa-sha2-nistp256, -nistp384, -nistp521 or ssh-rsa.",
    );
  const publicKey = `${match[1]} ${match[2]}`;
  const parsed = parse(publicKey);
  // The same bytes again: nothing is left over, and nothing has two forms.
  if (parsed === undefined || !parsed.getPublicSSH().equals(blobOf({ publicKey })))
    throw refuse("This public key is damaged.");
  if (match[1] === "ssh-rsa") {
    const bits = createPublicKey(parsed.getPublicPEM()).asymmetricKeyDetails?.modulusLength ?? 0;
    if (bits < rsaBits.least || bits > rsaBits.most)
      throw refuse(`An RSA key must have ${rsaBits.least} to ${rsaBits.most} bits; this one has ${bits}.`);
  }
  return { publicKey, fingerprint: fingerprintOf(parsed.getPublicSSH()) };
}

/** As OpenSSH prints it. */
export function fingerprintOf(blob: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replaceAll("=", "")}`;
}

/** The registered key that a client shows. It has proved nothing yet. */
export function shownKey({ key }: PublicKeyAuthContext, allowed: readonly SshAllowedKey[]): SshAllowedKey | undefined {
  return allowed.find((one) => !one.removed.aborted && blobOf(one).equals(key.data));
}

/** Whether the client has signed this login with the key. */
export function isSignedBy({ key, blob, signature, hashAlgo }: PublicKeyAuthContext, { publicKey }: SshKey): boolean {
  if (blob === undefined || signature === undefined) return false;
  // Without a named hash it is SHA-1.
  if (key.algo === "ssh-rsa" && hashAlgo === undefined) return false;
  try {
    return parse(publicKey)?.verify(blob, signature, hashAlgo) === true;
  } catch {
    return false;
  }
}

function blobOf({ publicKey }: Pick<SshKey, "publicKey">): Buffer {
  return Buffer.from(publicKey.split(" ")[1]!, "base64");
}

function parse(publicKey: string): ParsedKey | undefined {
  try {
    const parsed: unknown = ssh2.utils.parseKey(publicKey);
    return parsed instanceof Error || Array.isArray(parsed) ? undefined : (parsed as ParsedKey);
  } catch {
    return undefined;
  }
}
