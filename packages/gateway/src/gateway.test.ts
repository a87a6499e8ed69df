/** The gateway over real sockets and real TLS, in front of a program of this host in place of one in a sandbox. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { request } from "node:https";
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { createGatewayAuthority } from "@caisson/egress";
import { CaissonError, configSchema, type HttpGateway, type HttpRoute, type Visit } from "@caisson/protocol";
import { pino } from "pino";
import { WebSocket, WebSocketServer } from "ws";
import { createGateway } from "./index.ts";
import { listen } from "./testing/listen.ts";

const authority = await createGatewayAuthority(Buffer.alloc(32, 1));
const ca = authority.certificatePem;
const issue = (hosts: readonly string[]) => authority.issue(hosts);
const host = "abc.localhost";
const seen: IncomingMessage[] = [];
const visits: Visit[] = [];
let answer: RequestListener;
let gateway: HttpGateway;
let port: number;
/** Where the preview leads. */
let inside: number;
let ended: AbortController;
/** What a lookup of a name waits for. */
let finding: (signal: AbortSignal) => Promise<unknown>;

const log = pino({ level: "silent" });
const config = configSchema.parse({ gateway: { connectionsPerSandbox: 3 } }).gateway;

async function dial(): Promise<Socket> {
  const socket = connect(inside, "127.0.0.1");
  await once(socket, "connect").catch((cause: unknown) => {
    throw new CaissonError("unavailable", "Nothing listens.", { cause });
  });
  return socket;
}

/** What the gateway itself fails on. */
const faulty: HttpRoute = {
  workloadId: "f",
  ended: new AbortController().signal,
  connect: dial,
  get guard(): never {
    throw new Error("a fault of the gateway");
  },
};

const neverAccepted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(new CaissonError("cancelled", "Connecting was cancelled.")));
  });

const program = createServer((incoming, outgoing) => {
  seen.push(incoming);
  answer(incoming, outgoing);
});
const sockets = new WebSocketServer({ noServer: true });
program.on("upgrade", (incoming: IncomingMessage, socket: Socket, head) => {
  seen.push(incoming);
  if (incoming.url === "/refused") socket.end("HTTP/1.1 401 No\r\ncontent-length: 4\r\n\r\nnope");
  else sockets.handleUpgrade(incoming, socket, head, (client) => client.on("message", (data) => client.send(data)));
});

before(async () => {
  program.listen(0, "127.0.0.1");
  await once(program, "listening");
  gateway = createGateway({ config, port: 0, issue, log });
  gateway.onVisit((visit) => visits.push(visit));
  await listen(gateway, {
    async find(label, options): Promise<HttpRoute | "reserved" | undefined> {
      await finding(options.signal);
      if (label === "new") return "reserved";
      if (label === "faulty") return faulty;
      if (label === "slow") return { workloadId: "l", ended: ended.signal, connectTimeout: 50, connect: neverAccepted };
      if (label === "traced") return { workloadId: "t", ended: ended.signal, connect: dial, traced: true };
      return label === "abc" || label === "shop.example.com."
        ? { workloadId: "s", ended: ended.signal, connect: dial }
        : undefined;
    },
  });
  port = Number(gateway.addressOf("abc").split(":")[1]);
});

beforeEach(() => {
  seen.length = 0;
  visits.length = 0;
  inside = (program.address() as AddressInfo).port;
  ended = new AbortController();
  finding = () => Promise.resolve();
  answer = (_, outgoing) => outgoing.end("ok");
});

after(async () => {
  await gateway.close();
  for (const client of sockets.clients) client.terminate();
  program.closeAllConnections();
  program.close();
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly rule: string | undefined;
  readonly body: string;
}

function visit(path: string, options: Record<string, unknown> = {}, body: string | Buffer = ""): Promise<Answer> {
  const { headers, ...rest } = options;
  return new Promise((resolve, reject) => {
    const all = { host: `${host}:${port}`, ...(headers as Record<string, string>) };
    const sent = request(
      { host: "127.0.0.1", port, servername: host, ca, agent: false, path, ...rest, headers: all },
      (response) => {
        let text = "";
        response.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            rule: response.headers["caisson-gateway"] as string | undefined,
            body: text,
          }),
        );
      },
    );
    sent.on("error", reject).end(body);
  });
}

/** What comes back for these very bytes, until the connection ends or falls silent. */
async function raw(bytes: string, servername = host): Promise<string> {
  const socket = connectTls({ host: "127.0.0.1", port, servername, ca, rejectUnauthorized: false });
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
  socket.on("error", () => undefined);
  await once(socket, "secureConnect");
  socket.write(bytes, "latin1");
  await Promise.race([once(socket, "close"), sleep(400)]);
  socket.destroy();
  return text;
}

describe("a request to an exposed port", { timeout: 30_000 }, () => {
  test("arrives as it was sent, with our word for who sent it", async () => {
    answer = (incoming, outgoing) => {
      let text = "";
      incoming.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      incoming.on("end", () => outgoing.writeHead(207, { "x-own": "caf\u00e9", via: "1.1 x" }).end(text.toUpperCase()));
    };
    const given = {
      authorization: "Bearer theirs",
      cookie: "a=1",
      "x-forwarded-for": "10.0.0.1",
      "x-forwarded-proto": "gopher",
      forwarded: "for=10.0.0.1",
      "x-real-ip": "10.0.0.1",
      te: "trailers",
      "x-hop": "1",
      connection: "x-hop",
    };
    const { status, headers, body } = await visit("/a%20b?q=1//2", { method: "PATCH", headers: given }, "words");
    assert.deepEqual([status, headers["x-own"], body], [207, "caf\u00e9", "WORDS"]);
    const [{ url, method, headers: got } = assert.fail()] = seen;
    assert.deepEqual([url, method], ["/a%20b?q=1//2", "PATCH"]);
    const { "content-length": _, ...rest } = got;
    assert.deepEqual(rest, {
      host: `${host}:${port}`,
      connection: "close",
      authorization: "Bearer theirs",
      cookie: "a=1",
      "x-forwarded-for": "127.0.0.1",
      "x-forwarded-host": `${host}:${port}`,
      "x-forwarded-proto": "https",
    });
  });

  test("bodies of unknown length and answers to HEAD", async () => {
    answer = (incoming, outgoing) => incoming.pipe(outgoing);
    const body = Buffer.alloc(2_000_000, "b");
    const chunked = await visit("/", { method: "POST", headers: { "transfer-encoding": "chunked" } }, body);
    assert.equal(chunked.body.length, body.length);
    answer = (_, outgoing) => outgoing.writeHead(200, { "content-length": 7 }).end();
    const head = await visit("/", { method: "HEAD" });
    assert.deepEqual([head.status, head.headers["content-length"], head.body], [200, "7", ""]);
  });

  test("pieces of an answer come as they are made, and a visitor who leaves ends it", async () => {
    const { promise: left, resolve } = Promise.withResolvers<void>();
    answer = (_, outgoing) => {
      outgoing.write("first");
      outgoing.once("close", resolve);
    };
    const sent = request({ host: "127.0.0.1", port, servername: host, ca, agent: false, headers: { host } });
    sent.on("error", () => undefined).end();
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    assert.equal(String((await once(response, "data"))[0]), "first");
    sent.destroy();
    await left;
  });

  test("nobody listens: 502 that says so; unfinished and false answers are no answers", async () => {
    inside = 1;
    assert.deepEqual(await visit("/").then(({ status, rule }) => [status, rule]), [502, "not-listening"]);
    for (const words of [
      "garbage\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
      `HTTP/1.1 200 OK\r\nx: ${"y".repeat(70_000)}\r\n\r\n`,
    ]) {
      const liar = createTcpServer((socket) =>
        socket.on("error", () => undefined).once("data", () => socket.end(words)),
      );
      liar.listen(0, "127.0.0.1");
      await once(liar, "listening");
      inside = (liar.address() as AddressInfo).port;
      assert.deepEqual(
        await visit("/").then(({ status, rule }) => [status, rule]),
        [502, "bad-answer"],
        words.slice(0, 40),
      );
      liar.close();
    }
  });

  test("an answer sent too early is nobody else's", async () => {
    const liar = createTcpServer((socket) => {
      const one = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none";
      socket.on("error", () => undefined).once("data", () => socket.write(one + one.replace("one", "two")));
    });
    liar.listen(0, "127.0.0.1");
    await once(liar, "listening");
    inside = (liar.address() as AddressInfo).port;
    const ask = `GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
    const text = await raw(ask + ask);
    assert.deepEqual(text.match(/one|two/g), ["one", "one"]);
    liar.close();
  });

  test("no more at once than allowed", async () => {
    const { promise: go, resolve } = Promise.withResolvers<void>();
    answer = (_, outgoing) => void go.then(() => outgoing.end("ok"));
    const waiting = [1, 2, 3].map(() => visit("/"));
    while (seen.length < 3) await sleep(5);
    assert.equal((await visit("/")).rule, "too-many-connections");
    resolve();
    assert.deepEqual(
      (await Promise.all(waiting)).map(({ status }) => status),
      [200, 200, 200],
    );
    assert.equal((await visit("/")).status, 200);
  });

  test("a program that does not accept the connection in time: 504", async () => {
    const servername = "slow.localhost";
    const found = await visit("/", { servername, headers: { host: servername } });
    assert.deepEqual([found.status, found.rule], [504, "no-answer"]);
  });

  test("a fault of the gateway itself is answered, also to a WebSocket", async () => {
    const servername = "faulty.localhost";
    const found = await visit("/", { servername, headers: { host: servername } });
    assert.deepEqual([found.status, found.rule], [500, "gateway-failed"]);
    const upgrade = ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13"];
    const key = `sec-websocket-key: ${Buffer.alloc(16).toString("base64")}`;
    const head = ["GET / HTTP/1.1", `host: ${servername}`, ...upgrade, key, "", ""];
    assert.match(await raw(head.join("\r\n"), servername), /^HTTP\/1\.1 500 [^]*gateway-failed/);
  });

  test("the end of its sandbox ends it, and is told", async () => {
    answer = () => ended.abort();
    assert.deepEqual(await visit("/").then(({ status, rule }) => [status, rule]), [410, "sandbox-ended"]);
  });

  test("is told to whoever counts", async () => {
    await visit("/", { method: "POST" }, Buffer.alloc(10_000));
    while (visits.length === 0) await sleep(5);
    const [{ workloadId, kind, status, bytesIn, bytesOut } = assert.fail()] = visits;
    assert.deepEqual([workloadId, kind, status, bytesIn > 10_000, bytesOut > 10], ["s", "request", 200, true, true]);
  });
});

describe("who is meant", { timeout: 30_000 }, () => {
  test("case, a final dot and the port do not matter", async () => {
    for (const name of ["ABC.LocalHost", "abc.localhost.", `abc.localhost.:${port}`, "abc.localhost:1"])
      assert.equal((await visit("/", { headers: { host: name } })).status, 200, name);
  });

  test("everything else is nobody's", async () => {
    const trust = { rejectUnauthorized: false };
    const cases: [string, string, number, string][] = [
      ["xyz.localhost", "xyz.localhost", 404, "no-such-preview"],
      ["new.localhost", "new.localhost", 404, "not-exposed-yet"],
      ["localhost", "localhost", 421, "foreign-host"],
      ["a.abc.localhost", "a.abc.localhost", 404, "no-such-preview"],
      ["abc.localhost.evil.example", host, 421, "foreign-host"],
      ["127.0.0.1", host, 421, "foreign-host"],
      ["abc.localhost@evil.example", host, 421, "foreign-host"],
      ["abc.localhost", "xyz.localhost", 421, "server-name-mismatch"],
    ];
    for (const [name, servername, status, rule] of cases) {
      const found = await visit("/", { ...trust, servername, headers: { host: name } });
      assert.deepEqual([found.status, found.rule], [status, rule], `${name} over ${servername}`);
    }
    assert.equal(seen.length, 0);
  });

  test("requests of apps have one traceparent: the visitor's own when it is valid", async () => {
    const servername = "traced.localhost";
    const asked = async (headers: Record<string, string | string[]>) => {
      await visit("/", { servername, headers: { host: servername, ...headers } });
      const { traceparent, tracestate } = seen.at(-1)!.headers;
      return [traceparent, tracestate];
    };
    const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert.deepEqual(await asked({ traceparent: own, tracestate: "a=b" }), [own, "a=b"]);
    const nobodys = `00-${"0".repeat(32)}-b7ad6b7169203331-01`;
    for (const traceparent of [[], "x", nobodys, [own, own]]) {
      const [made, state] = await asked({ traceparent, tracestate: "a=b" });
      assert.match(String(made), /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
      assert.notEqual(made, own);
      assert.equal(state, undefined);
    }
    await visit("/");
    assert.equal(seen.at(-1)!.headers["traceparent"], undefined);
  });

  test("a hostname elsewhere leads where its directory says, over TLS with its own certificate", async () => {
    for (const name of ["shop.example.com", "Shop.Example.com.:8443"]) {
      const found = await visit("/", { servername: "shop.example.com", headers: { host: name } });
      assert.deepEqual([found.status, seen.at(-1)?.headers["x-forwarded-host"]], [200, name]);
    }
    seen.length = 0;
    const trust = { rejectUnauthorized: false };
    for (const [name, servername] of [
      ["other.example.com", "other.example.com"],
      ["shop.example.com", host],
      ["shop.example.com.", "other.example.com"],
      ["shop.example.123", "shop.example.123"],
    ] as const) {
      const found = await visit("/", { ...trust, servername, headers: { host: name } });
      assert.deepEqual([found.status, found.rule], [421, "foreign-host"], `${name} over ${servername}`);
    }
    assert.equal(seen.length, 0);
  });

  test("whoever names no host by TLS gets no connection", async () => {
    await assert.rejects(visit("/", { servername: "", rejectUnauthorized: false }), { code: "EPROTO" });
  });

  test("TLS 1.2 is without CBC and SHA-1, and there is nothing older", async () => {
    const tls12 = { maxVersion: "TLSv1.2" };
    for (const ciphers of ["ECDHE+AESGCM", "ECDHE+CHACHA20"])
      assert.equal((await visit("/", { ...tls12, ciphers })).status, 200, ciphers);
    const old = ["AES128-SHA", "AES256-SHA", "AES128-SHA256", "AES256-SHA384"];
    const ciphers = old.flatMap((rest) => [`ECDHE-ECDSA-${rest}`, `ECDHE-RSA-${rest}`]).join(":");
    await assert.rejects(visit("/", { ...tls12, ciphers }), { code: "EPROTO" });
    const tls11 = { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "ALL:@SECLEVEL=0" };
    await assert.rejects(visit("/", tls11), { code: "EPROTO" });
  });

  test("a certificate is made for names that lead somewhere, and for no others", async () => {
    assert.equal((await visit("/")).status, 200);
    await assert.rejects(visit("/", { servername: "xyz.localhost" }), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  });

  test("requests that two readers could read in two ways are refused", async () => {
    const lines = (...more: string[]) => `POST / HTTP/1.1\r\n${more.join("\r\n")}\r\n\r\n`;
    const cases = [
      lines(`host: ${host}`, "content-length: 5", "transfer-encoding: chunked") + "0\r\n\r\n",
      lines(`host: ${host}`, "content-length: 5", "content-length: 6") + "hello",
      lines(`host: ${host}`, "transfer-encoding: xchunked") + "0\r\n\r\n",
      lines(`host: ${host}`, "transfer-encoding: gzip, chunked") + "0\r\n\r\n",
      lines(`host: ${host}`, "host: xyz.localhost"),
      lines("x: y"),
      lines(`host: ${host}`, "x: y\n  z"),
      lines(`host: ${host}`, "x : y"),
      lines(`host: ${host}`).replaceAll("\r\n", "\n"),
      lines(`host: ${host}`).replace("/ ", `https://${host}/ `),
      lines(`host: ${host}`).replace("POST /", "OPTIONS *"),
      lines(`host: ${host}`).replace("POST /", `CONNECT ${host}:443`),
      lines(`host: ${host}`, "connection: upgrade", "upgrade: websocket", "content-length: 1") + "x",
    ];
    for (const bytes of cases) assert.match(await raw(bytes), /^HTTP\/1\.1 4\d\d (?!.*^HTTP)/ms, bytes);
    assert.equal(seen.length, 0);
  });
});

describe("a name whose route takes a while to find", { timeout: 30_000 }, () => {
  const refusalOf = (path = "/") => visit(path).then(({ status, rule }) => [status, rule]);

  test("is waited for, also by a WebSocket and with a body", async () => {
    finding = () => sleep(100);
    answer = (incoming, outgoing) => incoming.pipe(outgoing);
    assert.equal((await visit("/", { method: "POST" }, "words")).body, "words");
    const trust = { ca, servername: host, headers: { host } };
    const client = new WebSocket(`wss://127.0.0.1:${port}/`, trust);
    await once(client, "open");
    client.terminate();
    await once(client, "close");
  });

  test("that cannot be found says why", async () => {
    assert.equal((await visit("/")).status, 200);
    const failing = createGateway({ config: { ...config, tls: false }, port: 0, issue, log });
    let error: Error = new CaissonError("unavailable", "The app failed to start.");
    await listen(failing, { find: () => Promise.reject(error) });
    const at = Number(failing.addressOf("abc").split(":")[1]);
    const ask = async () => {
      const socket = connect(at, "127.0.0.1");
      socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
      return String((await once(socket, "data"))[0]);
    };
    assert.match(
      await ask(),
      /^HTTP\/1\.1 503 .*\r\ncaisson-gateway: not-available\r\n.*"message":"The app failed to start\."}\n$/s,
    );
    error = new Error("a secret of the platform");
    const text = await ask();
    assert.match(text, /^HTTP\/1\.1 500 .*\r\ncaisson-gateway: lookup-failed\r\n/s);
    assert.doesNotMatch(text, /a secret/);
    await failing.close();
  });

  test("a visitor who disconnects meanwhile ends the search, and is no visit", async () => {
    const signals: AbortSignal[] = [];
    const plain = createGateway({ config: { ...config, tls: false }, port: 0, issue, log });
    plain.onVisit((visit) => visits.push(visit));
    await listen(plain, {
      find: (_, options) => {
        signals.push(options.signal);
        return new Promise(() => undefined);
      },
    });
    const upgrade = "connection: upgrade\r\nupgrade: websocket\r\n";
    for (const more of ["", upgrade]) {
      signals.length = 0;
      const socket = connect(Number(plain.addressOf("abc").split(":")[1]), "127.0.0.1");
      socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n${more}\r\n`);
      while (signals.length === 0) await sleep(5);
      socket.destroy();
      while (!signals[0]?.aborted) await sleep(5);
    }
    assert.deepEqual(visits, []);
    await plain.close();
  });

  test("that has ended when it is found leads nowhere", async () => {
    finding = () => Promise.resolve(ended.abort());
    assert.deepEqual(await refusalOf(), [410, "sandbox-ended"]);
  });

  test("one connection cannot ask without end", async () => {
    answer = () => assert.fail("found after all");
    const { promise: never, resolve } = Promise.withResolvers<void>();
    const asked: string[] = [];
    const plain = createGateway({ config: { ...config, tls: false }, port: 0, issue, log });
    await listen(plain, { find: (label) => (asked.push(label), never.then(() => undefined)) });
    const socket = connect(Number(plain.addressOf("abc").split(":")[1]), "127.0.0.1");
    socket.on("error", () => undefined).resume();
    socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`.repeat(200));
    while (asked.length < 64) await sleep(5);
    await sleep(50);
    assert.equal(asked.length, 64);
    resolve();
    await once(socket, "close");
    await plain.close();
  });
});

describe("cookies", () => {
  const cases: [string, boolean][] = [
    ["a=1", true],
    ["a=1; Path=/; HttpOnly; Secure", true],
    ["a=1; Domain=abc.localhost", true],
    ["a=1; domain = .ABC.localhost", true],
    ["a=1; Domain=", true],
    ["a=1; Domain=localhost", false],
    ["a=1; Path=/; DOMAIN=.localhost", false],
    ["a=1; Domain=abc.localhost; Domain=localhost", false],
    ["a=1; Domain=xyz.localhost", false],
    ["domain=localhost", true],
  ];
  test("for its own host alone", async () => {
    answer = (_, outgoing) => outgoing.writeHead(200, { "set-cookie": cases.map(([cookie]) => cookie) }).end();
    const { headers } = await visit("/");
    assert.deepEqual(
      headers["set-cookie"],
      cases.filter(([, stays]) => stays).map(([cookie]) => cookie),
    );
  });
});

describe("WebSockets", { timeout: 30_000 }, () => {
  const trust = { ca, servername: host, headers: { host } };
  const open = (path = "/") => new WebSocket(`wss://127.0.0.1:${port}${path}`, trust);

  test("go through in both directions and end together", async () => {
    const client = open("/chat");
    await once(client, "open");
    const text = "x".repeat(300_000);
    client.send(text);
    assert.equal(String((await once(client, "message"))[0]), text);
    assert.equal(seen[0]?.headers["x-forwarded-for"], "127.0.0.1");
    client.close();
    await once(client, "close");
    while (visits.length === 0) await sleep(5);
    assert.deepEqual([visits[0]?.kind, visits[0]?.status], ["websocket", 101]);
  });

  test("leave no warning of Node.js outside the log", async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error) => void warnings.push(warning);
    process.on("warning", warned);
    try {
      const clients = Array.from({ length: 3 }, () => open());
      for (const client of clients) {
        if (client.readyState !== client.OPEN) await once(client, "open");
        client.send("x");
        await once(client, "message");
      }
      for (const client of clients) client.close();
      while (visits.length < clients.length) await sleep(5);
      assert.deepEqual(warnings, []);
    } finally {
      process.off("warning", warned);
    }
  });

  test("a refusal of the program inside is passed on, and the connection ends", async () => {
    const client = open("/refused");
    const [, response] = (await once(client, "unexpected-response")) as [unknown, IncomingMessage];
    assert.equal(response.statusCode, 401);
    assert.equal(String((await once(response, "data"))[0]), "nope");
  });

  test("a refused one leaves no connection behind, also when the visitor never ends it", async () => {
    for (const path of ["/refused", "*"]) {
      const options = { host: "127.0.0.1", port, servername: host, ca, allowHalfOpen: true };
      const socket = connectTls(options);
      socket.on("error", () => undefined).resume();
      socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n`);
      await once(socket, "end");
      // Only who writes learns that nobody is there any more.
      const writing = setInterval(() => socket.write("x"), 100);
      await new Promise<void>((resolve) => socket.once("close", () => resolve()));
      clearInterval(writing);
    }
  });

  test("the end of the sandbox ends them", async () => {
    const client = open();
    await once(client, "open");
    ended.abort();
    await once(client, "close");
  });

  test("what is pipelined before one is not mixed with it", async () => {
    answer = () => undefined;
    const handshake =
      "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    const text = await raw(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\nGET / HTTP/1.1\r\nhost: ${host}\r\n${handshake}`);
    assert.equal(text, "");
  });
});

test("plain HTTP for a proxy in front", async () => {
  const plain = createGateway({ config: { ...config, tls: false }, port: 0, issue, log });
  await listen(plain, { find: async () => ({ workloadId: "s", ended: ended.signal, connect: dial }) });
  const at = Number(plain.addressOf("abc").split(":")[1]);
  const fronted = createGateway({
    config: { ...config, tls: false, publicPort: 443 },
    port: at,
    issue,
    log,
  });
  assert.equal(fronted.addressOf("abc"), "abc.localhost");
  await assert.rejects(
    listen(fronted, { find: async () => undefined }),
    /Another program uses that port; set CAISSON_HTTPS_PORT/,
  );
  const socket = connect(at, "127.0.0.1");
  socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\n\r\n`);
  assert.match(String((await once(socket, "data"))[0]), /^HTTP\/1\.1 200 /);
  assert.equal(seen[0]?.headers["x-forwarded-proto"], "https");
  await plain.close();
});
