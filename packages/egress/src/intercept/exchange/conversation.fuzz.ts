/**
 * What programs in a guest may say on a granted connection: HTTP/1.1, HTTP/2, WebSocket, TLS, and what is none of these. Upstreams
 * give everything back. Whatever is said: the guest sees no secret, only the host that the secret is for gets it, and requests reach
 * no host under another name.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before } from "node:test";
import { asBytes, cut, fuzz, http2Beginning, http2Frames, mutatedBytes } from "@caisson/testing/fuzz";
import fc from "fast-check";
import { Guest } from "../../testing/guest.ts";
import { startInProcess, type InProcess } from "../../testing/in-process.ts";
import { servePort, type Port } from "../../worker/port.ts";

const secret = {
  name: "API_KEY",
  placeholder: "caisson-secret-00112233445566778899aabbccddeeff",
  value: "sk-live-Zq7_value+of/the=secret",
  hosts: ["granted.test"],
};
let proxy: InProcess;
let guest: Guest;
let port: Port;
before(async () => {
  proxy = await startInProcess([secret]);
  const path = join(proxy.directory, "egress.sock");
  guest = await Guest.listen(path);
  port = servePort(proxy.sandbox, path, { onTrouble: () => {}, onFlood: () => {} });
});
after(async () => {
  await port.close();
  await guest.close();
  await proxy.close();
});

/** Words that mean something, or any text of at most so many characters. */
const words = (maxLength: number, ...known: string[]) => fc.oneof(fc.constantFrom(...known), fc.string({ maxLength }));
const name = words(
  6,
  "host",
  "Host",
  "content-length",
  "transfer-encoding",
  "connection",
  "upgrade",
  "expect",
  "authorization",
  "cookie",
  "te",
  "trailer",
  "sec-websocket-key",
  "sec-websocket-version",
  "content-encoding",
  "content-type",
  "x-a",
  "",
  " x",
  "x ",
  ":path",
);
const value = words(
  12,
  "granted.test",
  "other.test",
  "granted.test:80",
  "evil.test",
  "0",
  "5",
  "5, 5",
  "+5",
  "0x5",
  "chunked",
  "gzip, chunked",
  "Chunked",
  "close",
  "upgrade",
  "websocket",
  "100-continue",
  `Bearer ${secret.placeholder}`,
  Buffer.from(`u:${secret.placeholder}`).toString("base64"),
  "gzip",
  "dGhlIHNhbXBsZSBub25jZQ==",
  "13",
);
const target = words(
  10,
  "/",
  "/a?b",
  "*",
  "http://granted.test/",
  "http://evil.test/",
  `/${secret.placeholder}`,
  "//evil.test/",
  "evil.test:80",
  "/\x7f",
  "/a b",
);
const payload = words(
  30,
  "",
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "0\r\nx-t: y\r\n\r\n",
  "ffffffffffffffff\r\n",
  "5;x=y\r\nhello\r\n0\r\n\r\n",
  secret.placeholder,
);
const end = fc.constantFrom("\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ");
const request = fc
  .record({
    method: fc.constantFrom("GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "get", "G T", "PRI"),
    target,
    version: fc.constantFrom("HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/1.2", "http/1.1", ""),
    host: fc.constantFrom("granted.test", "granted.test", "other.test"),
    headers: fc.array(fc.tuple(name, value, end), { maxLength: 5 }),
    payload,
  })
  .map(({ method, target, version, host, headers, payload }) =>
    Buffer.from(
      `${method} ${target} ${version}\r\nHost: ${host}\r\n${headers.map(([key, text, line]) => `${key}: ${text}${line}`).join("")}\r\n${payload}`,
      "latin1",
    ),
  );
const fields = fc
  .tuple(
    fc.constantFrom<[string, string][]>(
      [
        [":method", "GET"],
        [":scheme", "http"],
        [":authority", "granted.test"],
        [":path", "/"],
      ],
      [
        [":method", "POST"],
        [":scheme", "http"],
        [":authority", "granted.test"],
        [":path", "/"],
        ["authorization", `Bearer ${secret.placeholder}`],
      ],
      [],
    ),
    fc.array(fc.tuple(name, value), { maxLength: 4 }),
  )
  .map(([first, more]) => [...first, ...more]);
const http2 = http2Frames(
  fields,
  payload.map((text) => Buffer.from(text)),
).map((frames) => Buffer.concat([http2Beginning, frames]));

/** The first byte says to which host, the rest is said there. */
const addressed = (said: fc.Arbitrary<Buffer>) =>
  fc.tuple(fc.constantFrom("g", "o"), said).map(([host, bytes]) => Buffer.concat([Buffer.from(host), bytes]));

fuzz({
  name: "conversation",
  directory: import.meta.dirname,
  codec: asBytes,
  least: 2,
  limit: 8000,
  input: (seeds) =>
    mutatedBytes(
      seeds,
      addressed(fc.array(request, { minLength: 1, maxLength: 3 }).map((list) => Buffer.concat(list))),
      addressed(http2),
    ),
  async check(input) {
    const host = input[0] === 0x6f ? "other.test" : "granted.test";
    const bytes = input.subarray(1);
    for (const list of proxy.received.values()) list.length = 0;
    const answer = await say(`${host}:80`, bytes);
    assert.ok(!answer.includes(secret.value), "the guest got the secret");
    const elsewhere = Buffer.concat(proxy.received.get(proxy.ports.other)!).toString("latin1");
    assert.ok(!elsewhere.includes(secret.value), "a host got a secret that is not for it");
    for (const [upstream, own] of [
      [proxy.ports.granted, "granted.test"],
      [proxy.ports.other, "other.test"],
    ] as const) {
      const received = Buffer.concat(proxy.received.get(upstream)!).toString("latin1");
      if (own !== host) assert.equal(received, "", "bytes for one host went to another");
      // What the proxy itself writes begins with the request line and the host.
      const head = /^[A-Z]+ \S+ HTTP\/1\.1\r\n(?:.+\r\n)*?host: (.*)\r\n/i.exec(received);
      if (head !== null) assert.match(head[1]!, new RegExp(`^${own}(:80)?$`));
    }
  },
});

async function say(authority: string, bytes: Buffer): Promise<string> {
  const stream = await guest.connect(authority);
  return await new Promise((resolve) => {
    const answer: Buffer[] = [];
    const finish = () => {
      stream.destroy();
      resolve(Buffer.concat(answer).toString("latin1"));
    };
    stream.on("data", (chunk: Buffer) => answer.push(chunk));
    stream.once("end", finish).once("close", finish).once("error", finish);
    for (const piece of cut(bytes, 3000, bytes.length)) stream.write(piece);
    stream.end();
  });
}
