/**
 * Terrapin (CVE-2023-48795): somebody between client and server puts messages into the key exchange, which are not signed, and removes as many
 * afterwards. With a strict key exchange the server bears nothing before the new keys that is no part of the exchange.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import type { SshGateway } from "@caisson/protocol";
import { bareGateway } from "./bare-gateway.ts";

let gateway: SshGateway;
before(async () => {
  gateway = await bareGateway(() => Promise.resolve(undefined));
});
after(() => gateway.close());

const [ignore, kexInit, kexReply] = [2, 20, 31];

/** A packet as before the first keys (RFC 4253 6). */
function packet(payload: Buffer): Buffer {
  const padding = 4 + ((8 - ((payload.length + 9) % 8)) % 8);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(payload.length + padding + 1);
  head[4] = padding;
  return Buffer.concat([head, payload, Buffer.alloc(padding)]);
}

function text(words: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(words.length);
  return Buffer.concat([length, Buffer.from(words)]);
}

const offer = (...kex: string[]): Buffer => {
  const [cipher, mac] = ["aes128-gcm@openssh.com", "hmac-sha2-256-etm@openssh.com"];
  const lists = [kex.join(), "ssh-ed25519", cipher, cipher, mac, mac, "none", "none", "", ""];
  return packet(Buffer.concat([Buffer.from([kexInit]), randomBytes(16), ...lists.map(text), Buffer.alloc(5)]));
};
const inserted = packet(Buffer.concat([Buffer.from([ignore]), text("anything")]));
/** The client's half of an exchange with Curve25519; any 32 bytes are one. */
const half = packet(Buffer.concat([Buffer.from([30]), text("\t".padEnd(32, "\0"))]));

/** @returns whether the server answered with its half of the exchange; else it has ended the connection */
function exchanges(...sent: Buffer[]): Promise<boolean> {
  const { port } = gateway.address();
  const socket: Socket = connect({ host: "127.0.0.1", port });
  return new Promise<boolean>((resolve) => {
    let got = Buffer.alloc(0);
    socket.on("error", () => undefined);
    socket.once("close", () => resolve(false));
    socket.on("data", (data: Buffer) => {
      got = Buffer.concat([got, data]);
      for (let at = got.indexOf("\n") + 1; at > 0 && at + 5 < got.length; at += 4 + got.readUInt32BE(at))
        if (got[at + 5] === kexReply) resolve(true);
    });
    socket.write(Buffer.concat([Buffer.from("SSH-2.0-x\r\n"), ...sent]));
  }).finally(() => socket.destroy());
}

const kex = "curve25519-sha256";
const strict = "kex-strict-c-v00@openssh.com";

test("a message that was put into a strict key exchange ends the connection", { timeout: 60_000 }, async () => {
  assert.equal(await exchanges(offer(kex, strict), half), true, "an honest exchange");
  // What makes the attack possible with clients that do not know of it.
  assert.equal(await exchanges(offer(kex), inserted, half), true, "RFC 4253 allows it");
  assert.equal(await exchanges(offer(kex, strict), inserted, half), false);
  assert.equal(await exchanges(inserted, offer(kex, strict), half), false, "before the first message");
});
