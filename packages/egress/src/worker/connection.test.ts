/** What may be connected to, and what the first bytes must say. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { duplexPair } from "node:stream";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { checkServerIdentity, connect as tlsConnect } from "node:tls";
import { createAuthority } from "../authority/authority.ts";
import { ConnectRefused } from "../testing/guest.ts";
import {
  makeSecret,
  startHarness,
  startHttp,
  startHttps,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../testing/harness.ts";
import { startNameServer, type NameServer } from "../testing/name-server.ts";
import { ask, askOver, askPlain, raw } from "../testing/talk.ts";

const secret = makeSecret(["api.test"]);
let https: Upstream;
let http: Upstream;
let tcp: Upstream;
let greeting: Upstream;
let names: NameServer;
const zone = new Map<string, string[]>();
let restricted: Harness;
let open: Harness;
let closed: Harness;
const tcpSeen: string[] = [];

before(async () => {
  https = await startHttps(["api.test", "pass.test", "192.0.2.10"], (request, response) =>
    response.end(`https ${request.headers.host} ${secret.value}`),
  );
  http = await startHttp((request, response) => response.end(`http ${request.headers.host}`));
  tcp = await startTcp(
    createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        tcpSeen.push(data.toString("latin1"));
        socket.write(`echo:${data.toString("latin1")}:${secret.value}`);
      });
    }),
  );
  greeting = await startTcp(
    createServer((socket) => {
      socket.on("error", () => {});
      socket.write("220 hello\r\n");
      socket.on("data", (data) => socket.write(`got ${data.toString("latin1")}`));
    }),
  );
  names = await startNameServer((name) => ({ addresses: zone.get(name) ?? [] }));
  const to = `127.0.0.1:${https.port}`;
  const resolve = {
    "api.test": to,
    "pass.test": to,
    "192.0.2.10:443": to,
    "api.test:80": `127.0.0.1:${http.port}`,
    "pass.test:80": `127.0.0.1:${http.port}`,
    "pass.test:8080": `127.0.0.1:${http.port}`,
    "api.test:6379": `127.0.0.1:${tcp.port}`,
    "api.test:25": `127.0.0.1:${greeting.port}`,
    "evil.test": to,
    "dead.test": "127.0.0.1:1",
  };
  const common = { resolve, secrets: [secret], nameServers: [names.address] };
  restricted = await startHarness({
    ...common,
    policy: { allow: ["api.test", "inside.test", "192.0.2.10", "[2001:db8::10]:443", "dead.test", "missing.test"] },
  });
  open = await startHarness({ ...common });
  closed = await startHarness({ resolve, policy: { allow: [] } });
});
after(async () => {
  await Promise.all([restricted.close(), open.close(), closed.close()]);
  await Promise.all([https.close(), http.close(), tcp.close(), greeting.close()]);
  names.close();
});

async function refused(harness: Harness, authority: string, status: number, rule: string): Promise<void> {
  harness.events.length = 0;
  await assert.rejects(
    harness.guest.connect(authority),
    (error) => error instanceof ConnectRefused && error.status === status && error.reason.startsWith(`${rule}:`),
    `${authority} should be ${status} ${rule}`,
  );
  const event = await harness.refusal(rule);
  assert.equal(event.kind, "connection");
  assert.equal(event.sandboxId, harness.sandboxId);
}

test("hosts and ports outside the list are refused at once, in every spelling", async () => {
  for (const authority of [
    "evil.test:443",
    "api.test.evil.test:443",
    "xapi.test:443",
    "api.test.:443x",
    "192.0.2.11:443",
    "[2001:db8::10]:80",
    "[2001:db8::11]:443",
    "[::ffff:192.0.2.11]:443",
    "3221225995:443",
    "аpi.test:443".replace("а", "%D0%B0"),
  ]) {
    await refused(
      restricted,
      authority,
      403,
      /^api\.test\.:443x|%/.test(authority) ? "malformed-target" : "host-not-allowed",
    );
  }
});

test("spellings of an allowed host are that host", async () => {
  for (const authority of [
    "API.TEST:443",
    "api.test.:443",
    "0xC000020A:443",
    "192.0.522:443",
    "[::ffff:192.0.2.10]:443",
  ]) {
    const stream = await restricted.guest.connect(authority);
    stream.destroy();
  }
});

test("an empty list allows nothing", async () => {
  await refused(closed, "api.test:443", 403, "host-not-allowed");
  await refused(closed, "192.0.2.10:443", 403, "host-not-allowed");
});

test("targets that are none are refused", async () => {
  for (const authority of ["api.test", "api.test:0", "api.test:65536", ":443", "api..test:443"])
    await refused(restricted, authority, 403, "malformed-target");
});

test("without a list, internal addresses stay closed in every spelling", async () => {
  for (const authority of [
    "127.0.0.1:80",
    "127.1:80",
    "2130706433:80",
    "0x7f.1:80",
    "0177.0.0.1:80",
    "[::1]:80",
    "[::ffff:127.0.0.1]:80",
    "[::ffff:7f00:1]:80",
    "169.254.169.254:80",
    "10.0.0.1:443",
    "100.64.0.1:80",
    "[fd00::1]:80",
    "[fe80::1]:80",
    "0.0.0.0:80",
    "[::]:80",
    "[64:ff9b::7f00:1]:80",
    "[2002:7f00:1::]:80",
    "224.0.0.1:80",
  ]) {
    await refused(open, authority, 403, "internal-address");
  }
});

test("names that lead inside are refused, on the list or not, and the second answer is judged like the first", async () => {
  zone.set("inside.test", ["127.0.0.1"]);
  await refused(restricted, "inside.test:443", 403, "internal-address");
  zone.set("rebound.test", ["169.254.169.254"]);
  await refused(open, "rebound.test:80", 403, "internal-address");
  zone.set("both.test", ["203.0.113.9", "::1"]);
  await refused(open, "both.test:80", 403, "internal-address");
});

test("names without address and hosts that do not answer are told apart from refusals", async () => {
  await refused(restricted, "missing.test:443", 502, "name-not-found");
  await refused(restricted, "dead.test:443", 502, "upstream-unreachable");
});

test("the address that the guest dialled plays no part", async () => {
  const stream = await restricted.guest.connect("api.test:80", "127.0.0.1:22");
  stream.destroy();
  await assert.rejects(restricted.guest.connect("evil.test:443", "192.0.2.10:443"), ConnectRefused);
});

async function tlsEnds(harness: Harness, authority: string, options: object, rule: string): Promise<void> {
  harness.events.length = 0;
  await assert.rejects(
    harness.guest.connectTls(authority, { rejectUnauthorized: false, ...options }),
    { code: "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED" },
    "the program should be told in TLS",
  );
  await harness.refusal(rule);
}

test("TLS must name the host that was asked for", async () => {
  await tlsEnds(restricted, "api.test:443", { servername: "evil.test" }, "sni-mismatch");
  await tlsEnds(restricted, "192.0.2.10:443", { servername: "api.test" }, "sni-mismatch");
  await tlsEnds(open, "pass.test:443", { servername: "evil.test" }, "sni-mismatch");
  const socket = await restricted.guest.connectTls("api.test:443", { servername: "API.test" });
  socket.destroy();
});

test("TLS that names nobody is for the host of the connection, and so is what is inside", async () => {
  for (const harness of [restricted, open]) {
    const socket = await harness.guest.connectTls("api.test:443", {
      servername: "",
      checkServerIdentity: (_, certificate) => checkServerIdentity("api.test", certificate),
    });
    assert.equal((await askOver(socket, "evil.test")).status, 403);
    await harness.refusal("authority-mismatch");
    socket.destroy();
  }
});

test("TLS inside TLS is refused in TLS, and nothing of it goes on", async () => {
  tcpSeen.length = 0;
  const outer = await restricted.guest.connectTls("api.test:443");
  const inner = tlsConnect({ socket: outer, servername: "evil.test", rejectUnauthorized: false });
  const [error] = (await once(inner, "error")) as [NodeJS.ErrnoException];
  assert.equal(error.code, "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED");
  await restricted.refusal("nested-tls");
});

test("a guest that goes on after it was told no is cut off", async () => {
  const stream = await restricted.guest.connect("api.test:443");
  const hello = await clientHello("evil.test");
  const answer: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => answer.push(chunk)).write(hello);
  await once(stream, "end");
  assert.deepEqual(Buffer.concat(answer), Buffer.from([21, 3, 3, 0, 2, 2, 49]));
  const more = setInterval(() => stream.write("more"), 100);
  await new Promise((resolve) => stream.once("close", resolve));
  clearInterval(more);
  assert.notEqual(stream.rstCode, 0);
});

/** What a client says first. */
async function clientHello(servername: string): Promise<Buffer> {
  const [near, far] = duplexPair();
  tlsConnect({ socket: near, servername }).on("error", () => {});
  const [hello] = (await once(far, "data")) as [Buffer];
  near.destroy();
  return hello;
}

test("an allowed address is intercepted under its own name", async () => {
  const socket = await restricted.guest.connectTls("192.0.2.10:443", { servername: "", host: "192.0.2.10" });
  // No secret is for it, and it answers with one.
  assert.match(
    await raw(socket, "GET / HTTP/1.1\r\nHost: 192.0.2.10\r\nConnection: close\r\n\r\n"),
    /^HTTP\/1.1 502 [^]*"secret-returned"/,
  );
});

test("where nothing applies, TLS passes through to the host's own certificate", async () => {
  const socket = await open.guest.connectTls("pass.test:443", { ca: upstreamAuthority.certificatePem });
  assert.match(await raw(socket, "GET / HTTP/1.1\r\nHost: pass.test\r\nConnection: close\r\n\r\n"), /https pass\.test/);
  assert.equal(
    (await open.event((event) => event.host === "pass.test" && event.protocol === "tls" && event.verdict === "allowed"))
      .kind,
    "connection",
  );
});

test("where a secret applies, TLS is intercepted even without a list", async () => {
  const answer = await ask(open.guest, "api.test");
  assert.equal(answer.text, `https api.test ${secret.placeholder}`);
});

test("a session of one host cannot be resumed at another", async () => {
  const first = await restricted.guest.connectTls("api.test:443", { maxVersion: "TLSv1.2" });
  const session = first.getSession();
  first.destroy();
  assert.ok(session);
  const second = await restricted.guest.connectTls("192.0.2.10:443", {
    servername: "",
    host: "192.0.2.10",
    maxVersion: "TLSv1.2",
    session,
  });
  assert.equal(second.isSessionReused(), false);
  second.destroy();
});

test("plain HTTP is read on every port", async () => {
  assert.equal((await askPlain(open.guest, "pass.test", { path: "/" })).text, "http pass.test");
  assert.equal((await askPlain(open.guest, "pass.test", { port: 8080 })).text, "http pass.test:8080");
  const authorization = `Bearer ${secret.placeholder}`;
  assert.equal((await askPlain(open.guest, "pass.test", { port: 8080, headers: { authorization } })).status, 403);
});

test("other protocols go through a tunnel, where values are made unreadable", async () => {
  const stream = await restricted.guest.connect("api.test:6379");
  const answer = await raw(stream, "*1\r\n$4\r\nPING\r\n", 600);
  assert.ok(answer.startsWith("echo:*1\r\n$4\r\nPING\r\n:caisson-secret-"), answer);
  assert.ok(!answer.includes(secret.value));
  assert.equal(answer.length, "echo:*1\r\n$4\r\nPING\r\n:".length + secret.value.length);
  assert.equal((await restricted.event((event) => event.port === 6379)).protocol, "tcp");
});

test("a server that speaks first is heard, and HTTP afterwards is not let by", async () => {
  const stream = await restricted.guest.connect("api.test:25");
  const [hello] = await once(stream, "data");
  assert.equal(String(hello), "220 hello\r\n");
  stream.write("EHLO x\r\n");
  const [answer] = await once(stream, "data");
  assert.equal(String(answer), "got EHLO x\r\n");
  stream.destroy();
  const other = await restricted.guest.connect("api.test:25");
  await once(other, "data");
  other.write("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n");
  await new Promise((resolve) => other.once("close", resolve));
  await restricted.refusal("unclear-protocol");
});

test("SOCKS to an allowed host is refused, since it would lead on", async () => {
  tcpSeen.length = 0;
  assert.equal(await raw(await restricted.guest.connect("api.test:6379"), Buffer.from([5, 1, 0]), 600), "");
  await restricted.refusal("proxy-protocol");
  assert.deepEqual(tcpSeen, []);
});

test("a client that waits before it speaks is judged all the same", async () => {
  const stream = await restricted.guest.connect("api.test:6379");
  await sleep(500);
  tcpSeen.length = 0;
  const answer = await raw(stream, "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 800);
  assert.match(answer, /^HTTP\/1\.1 403 /);
  assert.deepEqual(tcpSeen, []);
});

test("a certificate that does not prove the name is refused, with a clear answer and an event", async () => {
  const other = await createAuthority("Somebody else");
  const wrongName = await startHttps(["elsewhere.test"], (_, response) => response.end("reached"));
  const { createServer: createHttps } = await import("node:https");
  let reached = 0;
  const untrusted = await startTcp(
    createHttps(await other.issue(["bad.test"]), (_, response) => response.end(String(++reached))) as never,
  );
  const harness = await startHarness({
    policy: { allow: ["bad.test", "name.test", "notls.test"] },
    resolve: {
      "bad.test": `127.0.0.1:${untrusted.port}`,
      "name.test": `127.0.0.1:${wrongName.port}`,
      "notls.test": `127.0.0.1:${http.port}`,
    },
  });
  try {
    for (const host of ["bad.test", "name.test"]) {
      const answer = await ask(harness.guest, host);
      assert.equal(answer.status, 502);
      assert.equal(JSON.parse(answer.text).rule, "upstream-certificate");
      const event = await harness.event((one) => one.host === host && one.kind === "request");
      assert.deepEqual([event.verdict, event.rule], ["failed", "upstream-certificate"]);
    }
    assert.equal(JSON.parse((await ask(harness.guest, "notls.test")).text).rule, "upstream-tls");
    assert.equal(reached, 0);
  } finally {
    await harness.close();
    await untrusted.close();
    await wrongName.close();
  }
});

test("an upstream proxy is asked for the checked address, and credentials go to it alone", async () => {
  const asked: string[] = [];
  const { createServer: createHttp } = await import("node:http");
  const { connect } = await import("node:net");
  const proxy = createHttp();
  proxy.on("connect", (request, socket) => {
    asked.push(`${request.url} ${request.headers["proxy-authorization"]}`);
    const [host, port] = request.url!.split(":");
    const onward = connect(Number(port), host, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
    onward.on("error", () => socket.destroy());
    socket.on("error", () => onward.destroy());
    onward.pipe(socket).pipe(onward);
  });
  const started = await startTcp(proxy);
  const harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${https.port}` },
    upstreamProxy: `http://user:pass@127.0.0.1:${started.port}`,
  });
  try {
    assert.match((await ask(harness.guest, "api.test")).text, /^https api\.test/);
    assert.deepEqual(asked, [`127.0.0.1:${https.port} Basic ${Buffer.from("user:pass").toString("base64")}`]);
  } finally {
    await harness.close();
    await started.close();
  }
});

test("a byte budget counts short connections from their first byte on", async () => {
  const harness = await startHarness({
    policy: { maxBytesOutPerHost: 100_000 },
    resolve: { "api.test": `127.0.0.1:${https.port}` },
    secrets: [secret],
  });
  try {
    const headers = { "x-long": "x".repeat(10_000) };
    let carried = 0;
    const all = async (): Promise<void> => {
      for (; carried < 10; carried++) assert.equal((await ask(harness.guest, "api.test", { headers })).status, 200);
    };
    await assert.rejects(all());
    assert.ok(carried > 4, `${carried} requests`);
    assert.ok((await harness.refusal("byte-budget")).bytesOut <= 100_000);
    assert.ok((await harness.event(({ kind, rule }) => kind === "connection" && rule === "allowed")).bytesOut > 10_000);
  } finally {
    await harness.close();
  }
});

for (const [whose, budget] of Object.entries({
  "sandbox's": { policy: { maxBytesOutPerHost: 100_000 } },
  "operator's": { policy: { maxBytesOutPerHost: 10_000_000 }, maxBytesOutPerHost: 100_000 },
}))
  test(`the ${whose} byte budget ends what goes to one host, and only that`, async () => {
    const harness = await startHarness({
      ...budget,
      resolve: { "api.test": `127.0.0.1:${https.port}`, "pass.test:80": `127.0.0.1:${http.port}` },
      secrets: [secret],
    });
    try {
      assert.equal((await ask(harness.guest, "api.test")).status, 200);
      await assert.rejects(ask(harness.guest, "api.test", { method: "POST", body: Buffer.alloc(300_000) }));
      await harness.refusal("byte-budget");
      await refused(harness, "api.test:443", 403, "byte-budget");
      assert.equal((await askPlain(harness.guest, "pass.test")).status, 200);
    } finally {
      await harness.close();
    }
  });
