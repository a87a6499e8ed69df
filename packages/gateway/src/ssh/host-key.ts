/** The host key of an installation: Ed25519, derived from its key, so that it is the same after every start and is stored in no file. */
import { createHash, createPrivateKey, createPublicKey, hkdfSync } from "node:crypto";

export interface HostKey {
  /** In the format of OpenSSH, for the SSH library. */
  readonly privateKey: string;
  /** As in `known_hosts`: type and base64. */
  readonly publicKey: string;
  /** As OpenSSH prints it: `SHA256:` and base64 without padding. */
  readonly fingerprint: string;
}

const type = "ssh-ed25519";
/** PKCS#8 head of an Ed25519 key (RFC 8410, 7): the 32 bytes of the key follow. */
const pkcs8 = Buffer.from("302e020100300506032b657004220420", "hex");

/** @param seed the key of the installation */
export function deriveHostKey(seed: Uint8Array): HostKey {
  const secret = Buffer.from(hkdfSync("sha256", seed, "caisson ssh host key", type, 32));
  const key = createPrivateKey({ key: Buffer.concat([pkcs8, secret]), format: "der", type: "pkcs8" });
  const point = Buffer.from(createPublicKey(key).export({ format: "jwk" }).x!, "base64url");
  const blob = Buffer.concat([string(type), string(point)]);
  return {
    privateKey: openSshKey(blob, point, secret),
    publicKey: `${type} ${blob.toString("base64")}`,
    fingerprint: `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`,
  };
}

/** OpenSSH's PROTOCOL.key, without encryption. */
function openSshKey(blob: Buffer, point: Buffer, secret: Buffer): string {
  const check = Buffer.alloc(8);
  const body = Buffer.concat([check, string(type), string(point), string(Buffer.concat([secret, point])), string("")]);
  const padding = Buffer.from(Array.from({ length: (8 - (body.length % 8)) % 8 }, (_, at) => at + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  const whole = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    string("none"),
    string("none"),
    string(""),
    one,
    string(blob),
    string(Buffer.concat([body, padding])),
  ]);
  const lines = whole.toString("base64").replace(/.{70}/g, "$&\n");
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}\n-----END OPENSSH PRIVATE KEY-----\n`;
}

/** A string of RFC 4251, 5: its length in four bytes, and its bytes. */
function string(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
