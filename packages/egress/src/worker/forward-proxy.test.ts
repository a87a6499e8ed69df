/** Forward proxies outside: they work where the sandbox may reach every host anyway, and a refusal says what to do elsewhere. */
import assert from "node:assert/strict";
import { createServer as createHttp, type IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { connect as tlsConnect } from "node:tls";
import {
  makeSecret,
  startHarness,
  startHttps,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../testing/harness.ts";
import { askOver, raw } from "../testing/talk.ts";

const secret = makeSecret(["key.test"]);
let site: Upstream;
let proxy: Upstream;
let free: Harness;
let listed: Harness;
let asked: { method: string; url: string; headers: IncomingMessage["headers"] }[] = [];

before(async () => {
  site = await startHttps(["site.test"], (_, response) => response.end("the site itself"));
  const server = createHttp((request, response) => {
    asked.push({ method: request.method!, url: request.url!, headers: request.headers });
    if (request.headers["proxy-authorization"] === undefined)
      response.writeHead(407, { "proxy-authenticate": 'Basic realm="p"' }).end();
    else response.end(`fetched ${request.url}`);
  });
  server.on("connect", (request: IncomingMessage, socket: Socket) => {
    asked.push({ method: "CONNECT", url: request.url!, headers: request.headers });
    const upstream = connect(site.port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
      socket.pipe(upstream).pipe(socket);
    });
    for (const one of [socket, upstream]) one.on("error", () => {});
  });
  proxy = await startTcp(server);
  const resolve = { "proxy.test": `127.0.0.1:${proxy.port}`, "key.test": `127.0.0.1:${proxy.port}` };
  free = await startHarness({ resolve, secrets: [secret] });
  listed = await startHarness({ resolve, policy: { allow: ["proxy.test"] } });
});
after(async () => {
  await free.close();
  await listed.close();
  await site.close();
  await proxy.close();
});

const basic = `Basic ${Buffer.from("user:word").toString("base64")}`;
const connectHead = (more = "") =>
  `CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\nProxy-Authorization: ${basic}\r\n${more}\r\n`;

test("CONNECT to a proxy leads to the host behind it, whose own certificate the program sees", async () => {
  asked = [];
  const stream = await free.guest.connect("proxy.test:3128");
  stream.write(connectHead());
  const established = await new Promise<string>((resolve) => stream.once("data", (chunk) => resolve(String(chunk))));
  assert.equal(established, "HTTP/1.1 200 Connection established\r\n\r\n");
  const tls = tlsConnect({ socket: stream, servername: "site.test", ca: upstreamAuthority.certificatePem });
  const reply = await askOver(tls, "site.test");
  assert.equal(reply.text, "the site itself");
  assert.deepEqual([asked[0]!.url, asked[0]!.headers["proxy-authorization"]], ["site.test:443", basic]);
  tls.destroy();
  const event = await free.event((one) => one.kind === "request" && one.method === "CONNECT");
  assert.deepEqual([event.verdict, event.host, event.path], ["allowed", "proxy.test", "site.test:443"]);
});

test("what follows a CONNECT in one piece is passed on as well", async () => {
  const stream = await free.guest.connect("proxy.test:3128");
  const text = await raw(stream, `${connectHead()}not a ClientHello`, 1000);
  assert.ok(text.startsWith("HTTP/1.1 200 Connection established\r\n\r\n"), text);
});

test("absolute targets reach the proxy as they are, with the credentials and the challenge of the proxy", async () => {
  asked = [];
  const challenged = await askOver(await free.guest.connect("proxy.test:3128"), "deb.test", {
    path: "http://deb.test/debian/Release?a=b",
  });
  assert.deepEqual([challenged.status, challenged.headers["proxy-authenticate"]], [407, 'Basic realm="p"']);
  const fetched = await askOver(await free.guest.connect("proxy.test:3128"), "deb.test", {
    path: "http://deb.test/debian/Release?a=b",
    headers: { "proxy-authorization": basic },
  });
  assert.equal(fetched.text, "fetched http://deb.test/debian/Release?a=b");
  assert.equal(asked[1]!.headers.host, "deb.test");
  const capital = await askOver(await free.guest.connect("proxy.test:3128"), "deb.test", {
    path: "HTTP://deb.test/Release",
    headers: { "proxy-authorization": basic },
  });
  assert.equal(capital.text, "fetched http://deb.test/Release");
});

test("another Host on a connection is nobody's concern without a list", async () => {
  const reply = await askOver(await free.guest.connect("proxy.test:80"), "other.test", {
    headers: { "proxy-authorization": basic },
  });
  assert.equal(reply.status, 407);
  assert.equal(asked.at(-1)!.headers.host, "other.test");
});

test("a placeholder goes to no proxy", async () => {
  const before = asked.length;
  const stream = await free.guest.connect("proxy.test:3128");
  const text = await raw(stream, connectHead(`X-Key: ${secret.placeholder}\r\n`), 1000);
  assert.match(text, /^HTTP\/1.1 403[^]*secret-not-approved/);
  const reply = await askOver(await free.guest.connect("proxy.test:3128"), "key.test", {
    path: "http://key.test/",
    headers: { authorization: secret.placeholder },
  });
  assert.equal(JSON.parse(reply.text).rule, "secret-not-approved");
  assert.equal(asked.length, before);
});

for (const [what, host, harness] of [
  ["under a list", "proxy.test", () => listed],
  ["to a host that a secret is for", "key.test", () => free],
] as const) {
  test(`${what}, neither works, and the refusal says what to do`, async () => {
    const before = asked.length;
    const tunnel = await raw(await harness().guest.connect(`${host}:3128`), connectHead(), 1000);
    assert.match(tunnel, /^HTTP\/1.1 403[^]*connect-in-http[^]*passThrough/);
    const reply = await askOver(await harness().guest.connect(`${host}:3128`), "deb.test", {
      path: "http://deb.test/",
    });
    const { rule, message } = JSON.parse(reply.text);
    assert.equal(rule, "authority-mismatch");
    assert.match(message, /connect to the other host directly/);
    assert.equal(asked.length, before);
  });
}
