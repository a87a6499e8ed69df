import assert from "node:assert/strict";
import { duplexPair } from "node:stream";
import { randomBytes } from "node:crypto";
import { connect } from "node:tls";
import { before, test } from "node:test";
import { ClientHelloReader, type ClientHelloResult } from "./client-hello.ts";

const readClientHello = (bytes: Buffer): ClientHelloResult => new ClientHelloReader().read(bytes);

async function hello(options: { servername?: string; ALPNProtocols?: string[] }): Promise<Buffer> {
  const [ours, theirs] = duplexPair();
  const socket = connect({ socket: theirs, ...options });
  socket.on("error", () => {});
  const bytes = await new Promise<Buffer>((resolve) => ours.once("data", resolve));
  socket.destroy();
  return bytes;
}

/** Splits the handshake message over records of `size` bytes. */
function fragment(bytes: Buffer, size: number): Buffer {
  const message = bytes.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

/** Adds an extension at the end of a hello in one record. */
function withExtension(bytes: Buffer, type: number, body: Buffer): Buffer {
  const out = Buffer.concat([bytes, Buffer.from([type >> 8, type & 255, body.length >> 8, body.length & 255]), body]);
  const added = 4 + body.length;
  out.writeUInt16BE(out.readUInt16BE(3) + added, 3);
  out.writeUIntBE(out.readUIntBE(6, 3) + added, 6, 3);
  let at = 9 + 34;
  at += 1 + out[at]!;
  at += 2 + out.readUInt16BE(at);
  at += 1 + out[at]!;
  out.writeUInt16BE(out.readUInt16BE(at) + added, at);
  return out;
}

let sample: Buffer;
before(async () => {
  sample = await hello({ servername: "api.example.com", ALPNProtocols: ["h2", "http/1.1"] });
});

test("name and protocols of a real hello are read", async () => {
  assert.deepEqual(readClientHello(sample), {
    kind: "client-hello",
    serverName: "api.example.com",
    alpn: ["h2", "http/1.1"],
    encrypted: false,
  });
  assert.deepEqual(readClientHello(await hello({})), { kind: "client-hello", alpn: [], encrypted: false });
});

test("a hello in many records or many pieces says the same", () => {
  const expected = readClientHello(sample);
  for (const size of [1, 2, 3, 7, 50, 200])
    assert.deepEqual(readClientHello(fragment(sample, size)), expected, `records of ${size}`);
  const reader = new ClientHelloReader();
  for (let length = 1; length < sample.length; length++) {
    assert.deepEqual(readClientHello(sample.subarray(0, length)), { kind: "more" }, `${length} bytes`);
    assert.deepEqual(reader.read(sample.subarray(0, length)), { kind: "more" }, `${length} bytes`);
  }
  assert.deepEqual(reader.read(sample), expected);
  assert.deepEqual(readClientHello(Buffer.concat([sample, randomBytes(100)])), expected);
});

test("encrypted hellos are noticed", () => {
  const result = readClientHello(withExtension(sample, 0xfe0d, randomBytes(40)));
  assert.ok(result.kind === "client-hello" && result.encrypted);
});

test("a second name, in either place, is malformed", () => {
  const name = Buffer.from("evil.example");
  const entry = Buffer.concat([Buffer.from([0, name.length >> 8, name.length]), name]);
  const list = Buffer.concat([Buffer.from([entry.length >> 8, entry.length]), entry]);
  assert.equal(readClientHello(withExtension(sample, 0, list)).kind, "malformed");
});

test("no bytes make the reader throw or say a name that is not there", () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(sample);
    for (let flips = 1 + random(4); flips > 0; flips--) bytes[random(bytes.length)] = random(256);
    const result = readClientHello(bytes.subarray(0, 1 + random(bytes.length)));
    if (result.kind === "client-hello" && result.serverName !== undefined)
      assert.ok(bytes.includes(result.serverName, 0, "latin1"));
  }
  for (let round = 0; round < 2_000; round++)
    readClientHello(Buffer.concat([Buffer.from([22, 3, 1]), randomBytes(random(300))]));
});

test("however small the pieces, no record is read twice", () => {
  const message = Buffer.concat([Buffer.from([1, 0, 0x10, 0]), Buffer.alloc(4096)]);
  const bytes = fragment(Buffer.concat([Buffer.alloc(5), message]), 1);
  const { readUInt16BE } = Buffer.prototype;
  let lengths = 0;
  Buffer.prototype.readUInt16BE = function (this: Buffer, offset?: number) {
    lengths++;
    return readUInt16BE.call(this, offset);
  };
  try {
    const reader = new ClientHelloReader();
    for (let length = 1; length < bytes.length; length++)
      assert.equal(reader.read(bytes.subarray(0, length)).kind, "more");
    assert.equal(lengths, message.length);
  } finally {
    Buffer.prototype.readUInt16BE = readUInt16BE;
  }
});
