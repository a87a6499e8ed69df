/** The proxy connects before the guest's connection is granted. The guest gets the error of the proxy's, and the bytes go over it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ConnectRefused } from "../testing/guest.ts";
import { startHarness, startHttps, startTcp, type Harness, type Upstream } from "../testing/harness.ts";
import { ask, askPlain } from "../testing/talk.ts";

const sockets = new Set<Socket>();
/** Connections that an upstream has got. */
const connections = { https: 0, http: 0, tcp: 0 };
let upstreams: Record<"https" | "http" | "tcp" | "greeting", Upstream>;
let harness: Harness;

before(async () => {
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  const https = await startHttps(["https.test"], (_, response) => response.end("https"));
  https.server.on("connection", () => connections.https++);
  const http = createHttpServer((_, response) => response.end("http"));
  http.on("connection", () => connections.http++);
  const tcp = createServer((socket) => {
    connections.tcp++;
    sockets.add(socket.once("close", () => sockets.delete(socket)).on("error", () => {}));
    socket.on("data", (data) => socket.write(`got ${data.toString()}`));
  });
  upstreams = {
    https,
    http: await startTcp(http),
    tcp: await startTcp(tcp),
    greeting: await startTcp(createServer((socket) => socket.on("error", () => {}).end("220 welcome\r\n"))),
  };
  const resolve = {
    ...Object.fromEntries(Object.entries(upstreams).map(([name, one]) => [`${name}.test`, `127.0.0.1:${one.port}`])),
    "closed.test": `127.0.0.1:${port}`,
    // A broadcast address: the kernel has no way to it.
    "nowhere.test": "127.255.255.255",
  };
  harness = await startHarness({ policy: { allow: Object.keys(resolve) }, resolve });
});
after(async () => {
  await harness.close();
  for (const upstream of Object.values(upstreams)) await upstream.close();
});

const until = async (fits: () => boolean): Promise<void> => {
  while (!fits()) await sleep(10);
};

for (const [authority, status, errno, rule] of [
  ["closed.test:7", 502, "ECONNREFUSED", "upstream-unreachable"],
  ["closed.test:443", 502, "ECONNREFUSED", "upstream-unreachable"],
  ["nowhere.test:80", 502, "ENETUNREACH", "upstream-unreachable"],
  ["evil.example:80", 403, "ECONNREFUSED", "host-not-allowed"],
] as const) {
  test(`${authority}: connect() fails with ${errno}`, async () => {
    const refused = await harness.guest.connect(authority).then(
      () => assert.fail("it was granted"),
      (error: unknown) => error,
    );
    assert.ok(refused instanceof ConnectRefused, String(refused));
    assert.deepEqual([refused.status, refused.errno], [status, errno]);
    await harness.refusal(rule);
  });
}

test("a tunnel goes over the connection that was made first", { timeout: 60_000 }, async () => {
  const stream = await harness.guest.connect("tcp.test:7");
  await until(() => connections.tcp === 1);
  stream.write("\0data\n");
  const [answer] = (await once(stream, "data")) as [Buffer];
  assert.equal(answer.toString(), "got \0data\n");
  assert.equal(connections.tcp, 1);
  stream.destroy();
});

test("what a server says, and its end, before anybody asks arrives", { timeout: 60_000 }, async () => {
  const stream = await harness.guest.connect("greeting.test:25");
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  assert.equal(text, "220 welcome\r\n");
});

test("a request inside TLS goes over it", { timeout: 60_000 }, async () => {
  assert.equal((await ask(harness.guest, "https.test")).text, "https");
  assert.equal(connections.https, 1);
});

test("a request without TLS goes over it", { timeout: 60_000 }, async () => {
  assert.equal((await askPlain(harness.guest, "http.test")).text, "http");
  assert.equal(connections.http, 1);
});

test("one that nobody used ends with the guest's connection", { timeout: 60_000 }, async () => {
  await until(() => sockets.size === 0);
  const before = connections.tcp;
  const streams = await Promise.all(Array.from({ length: 20 }, () => harness.guest.connect("tcp.test:443")));
  await until(() => connections.tcp === before + 20);
  for (const stream of streams) stream.destroy();
  await until(() => sockets.size === 0);
});
