/** HTTP/2 towards visitors, over real TLS, with programs that speak HTTP/1.1 and gRPC. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import {
  connect,
  createServer as createHttp2,
  type ClientHttp2Session,
  type Http2Server,
  type OutgoingHttpHeaders,
} from "node:http2";
import { request as requestHttps } from "node:https";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "@caisson/testing";
import { attack, block, flag, frame, frameType } from "./testing/frames.ts";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

const host = "abc.localhost";
let program: Server;
let grpc: Http2Server;
let place: Place;
let plain: Place;
const seen: IncomingMessage[] = [];

before(async () => {
  program = createServer((request, response) => {
    seen.push(request);
    if (request.url === "/cookies") response.setHeader("set-cookie", ["a=1", "b=2; Domain=localhost", "c=3"]);
    if (request.url === "/trailers") {
      response.writeHead(200, { trailer: "x-sum, set-cookie" });
      response.write("body");
      response.addTrailers([
        ["x-sum", "1"],
        ["X-Sum", "2"],
        ["set-cookie", "a=1; Domain=localhost"],
      ]);
      response.end();
    } else if (request.url === "/cut") {
      response.writeHead(200, { "content-length": "10" });
      response.write("half", () => request.socket.destroy());
    } else if (request.url === "/early") response.writeHead(413).end("too much");
    else if (request.url?.startsWith("/hold")) response.flushHeaders();
    else request.pipe(response);
  });
  grpc = createHttp2();
  grpc.on("stream", (stream, headers) => {
    stream.on("error", () => undefined);
    if (headers[":path"] === "/svc/refuses")
      return stream.respond(
        { ":status": 200, "content-type": "application/grpc", "grpc-status": "7" },
        { endStream: true },
      );
    assert.equal(headers["te"], "trailers");
    stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0", "grpc-message": "done" }));
    stream.on(
      "data",
      (chunk: Buffer) => void stream.write(Buffer.from(chunk.toString("latin1").toUpperCase(), "latin1")),
    );
    stream.on("end", () => stream.end());
  });
  const programs = { abc: await listenOn(program), rpc: await listenOn(grpc), gone: 1, xyz: 1 };
  place = await openPlace({ programs });
  plain = await openPlace({ programs, config: { tls: false } });
});
beforeEach(() => {
  seen.length = 0;
  place.visits.length = 0;
});
after(async () => {
  await place.close();
  await plain.close();
  program.closeAllConnections();
  program.close();
  grpc.close();
});

function open(name = "abc", address = "127.0.0.1"): ClientHttp2Session {
  const session = connect(`https://${name}.localhost`, {
    host: address,
    port: place.port,
    ca: place.ca,
    servername: `${name}.localhost`,
  } as never);
  session.on("error", () => undefined);
  return session;
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly trailers: Record<string, unknown>;
  readonly body: Buffer;
}

async function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: Buffer): Promise<Answer> {
  const stream = session.request({ ":authority": host, ...headers }, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  let trailers = {};
  stream.on("trailers", (fields) => (trailers = fields));
  const pieces: Buffer[] = [];
  const answered = once(stream, "response");
  stream.on("data", (piece: Buffer) => pieces.push(piece));
  const [fields] = (await answered) as [Record<string, unknown>];
  await once(stream, "close");
  if (stream.rstCode !== 0) throw new Error(`reset ${stream.rstCode}`);
  return { status: Number(fields[":status"]), headers: fields, trailers, body: Buffer.concat(pieces) };
}

/** An answer that comes while the visitor goes on sending. */
async function askEndlessly(session: ClientHttp2Session): Promise<Pick<Answer, "status">> {
  const stream = session.request({ ":authority": host, ":path": "/early", ":method": "POST" });
  stream.on("error", () => undefined).write("and so on");
  const [fields] = (await once(stream, "response")) as [Record<string, unknown>];
  stream.resume();
  if (!stream.closed) await once(stream, "close");
  return { status: Number(fields[":status"]) };
}

describe("HTTP/2", { timeout: 60_000 }, () => {
  test("method, path, headers, cookies and body arrive, and come back", async () => {
    const session = open();
    const given = { "x-forwarded-for": "10.0.0.1", cookie: ["a=1", "b=2"], "x-own": "caf\u00e9" };
    const body = Buffer.alloc(3_000_000, "b");
    const answer = await ask(session, { ":method": "PUT", ":path": "/a%20b?q=1//2", ...given }, body);
    assert.deepEqual([answer.status, answer.body.length, answer.body.equals(body)], [200, body.length, true]);
    const [{ method, url, headers } = assert.fail()] = seen;
    assert.deepEqual([method, url, headers.host, headers.cookie], ["PUT", "/a%20b?q=1//2", host, "a=1; b=2"]);
    assert.deepEqual([headers["x-own"], headers["x-forwarded-for"]], ["caf\u00e9", "127.0.0.1"]);
    await until(5_000, "the visit", () => place.visits.length === 1 || undefined);
    const [{ version, path, status, bytesIn, bytesOut } = assert.fail()] = place.visits;
    assert.deepEqual([version, path, status], ["2", "/a%20b", 200]);
    assert.ok(bytesIn > body.length && bytesOut > body.length);
    session.destroy();
  });

  test("several cookies are set, none for other hosts", async () => {
    const session = open();
    assert.deepEqual((await ask(session, { ":path": "/cookies" })).headers["set-cookie"], ["a=1", "c=3"]);
    session.destroy();
  });

  test("trailers reach the visitor, without those that would change the message", async () => {
    const session = open();
    const { trailers, body } = await ask(session, { ":path": "/trailers" });
    assert.deepEqual([Object.fromEntries(Object.entries(trailers)), String(body)], [{ "x-sum": "1, 2" }, "body"]);
    session.destroy();
    const options = {
      host: "127.0.0.1",
      port: place.port,
      servername: host,
      ca: place.ca,
      agent: false,
      path: "/trailers",
    };
    for (const [te, expected] of [
      ["trailers", ["x-sum", "1", "x-sum", "2"]],
      ["gzip", []],
    ] as const) {
      const sent = requestHttps({ ...options, headers: { host, te } }).end();
      const [response] = (await once(sent, "response")) as [IncomingMessage];
      response.resume();
      await once(response, "end");
      assert.deepEqual(response.rawTrailers, expected);
    }
  });

  test("many requests share a connection, and a refused or cut one concerns no other", async () => {
    const session = open();
    const [held, cut, early, ...others] = await Promise.allSettled([
      ask(session, { ":path": "/hold" }),
      ask(session, { ":path": "/cut" }),
      askEndlessly(session),
      ask(session, { ":path": "/", ":authority": "xyz.localhost" }),
      ask(session, { ":path": "/", ":method": "POST" }, Buffer.from("one")),
      sleep(500).then(() => session.destroy()),
    ]);
    // It had begun, and the visitor left.
    assert.equal(held.status, "fulfilled");
    assert.match(String((cut as PromiseRejectedResult).reason), /INTERNAL_ERROR|reset 2/);
    assert.equal((early as PromiseFulfilledResult<Answer>).value.status, 413);
    const [misdirected, right] = others as PromiseFulfilledResult<Answer>[];
    assert.deepEqual(
      [misdirected?.value.status, misdirected?.value.headers["caisson-gateway"]],
      [421, "server-name-mismatch"],
    );
    assert.equal(String(right?.value.body), "one");
  });

  test("HEAD, and a program that does not listen", async () => {
    const session = open();
    const head = await ask(session, { ":path": "/", ":method": "HEAD" });
    assert.deepEqual([head.status, head.body.length], [200, 0]);
    session.destroy();
    const other = open("gone");
    const { status, headers } = await ask(other, { ":path": "/", ":authority": "gone.localhost" });
    assert.deepEqual([status, headers["caisson-gateway"]], [502, "not-listening"]);
    other.destroy();
  });

  test("both loopback families, because browsers resolve *.localhost to ::1 first", async () => {
    for (const address of ["127.0.0.1", "::1"]) {
      const session = open("abc", address);
      assert.equal((await ask(session, { ":path": "/" })).status, 200);
      session.destroy();
    }
  });

  test("without TLS, for a proxy in front, on the same port as HTTP/1.1", async () => {
    const session = connect(`http://127.0.0.1:${plain.port}`);
    assert.equal((await ask(session, { ":path": "/" })).status, 200);
    session.destroy();
    const answer = await fetch(`http://127.0.0.1:${plain.port}/`, { headers: { host } }).catch(() => undefined);
    // fetch sends its own Host, which is not ours.
    assert.equal(answer?.status, 421);
  });

  test("the end of a sandbox ends its streams", async () => {
    const own = await openPlace({
      programs: { abc: await listenOn(createServer((_, response) => response.flushHeaders())) },
    });
    const session = connect(`https://${host}`, {
      host: "127.0.0.1",
      port: own.port,
      ca: own.ca,
      servername: host,
    } as never);
    const stream = session.request({ ":path": "/", ":authority": host });
    stream.on("error", () => undefined).resume();
    await once(stream, "response");
    const closed = new Promise((resolve) => stream.once("close", resolve));
    own.ended.abort();
    await closed;
    session.destroy();
    await own.close();
  });
});

describe("gRPC", { timeout: 60_000 }, () => {
  const fields = {
    ":authority": "rpc.localhost",
    ":method": "POST",
    "content-type": "application/grpc+proto",
    te: "trailers",
  };

  test("a stream in both directions at once, with trailers", async () => {
    const session = open("rpc");
    const stream = session.request({ ...fields, ":path": "/svc/echo" });
    let trailers = {};
    stream.on("trailers", (found) => (trailers = Object.fromEntries(Object.entries(found))));
    stream.setEncoding("latin1");
    for (const word of ["one", "two", "three"]) {
      stream.write(word);
      assert.equal((await once(stream, "data"))[0], word.toUpperCase());
    }
    stream.end();
    await once(stream, "end");
    assert.deepEqual(trailers, { "grpc-status": "0", "grpc-message": "done" });
    session.destroy();
  });

  test("trailers that Node refuses to send end their call and nothing else", async () => {
    const { socket } = await attack(place.port, "rpc.localhost");
    const head = Object.entries({ ...fields, ":path": "/svc/echo", ":scheme": "https" });
    const ordered = head.toSorted(([one], [other]) => Number(other.startsWith(":")) - Number(one.startsWith(":")));
    const trailers = block([
      ["etag", "a"],
      ["etag", "b"],
    ]);
    socket.write(frame(frameType.headers, flag.endHeaders, 1, block(ordered)));
    socket.write(frame(frameType.headers, flag.end | flag.endHeaders, 1, trailers));
    await until(30_000, "the refusal", () => place.visits.some(({ rule }) => rule === "bad-answer") || undefined);
    socket.destroy();
    const session = open("rpc");
    const answer = await ask(session, { ...fields, ":path": "/svc/echo" }, Buffer.from("x"));
    assert.equal(answer.trailers["grpc-status"], "0");
    session.destroy();
  });

  test("a large message each way", async () => {
    const session = open("rpc");
    const body = Buffer.alloc(5_000_000, "m");
    const answer = await ask(session, { ...fields, ":path": "/svc/echo" }, body);
    assert.equal(answer.body.length, body.length);
    assert.equal(answer.trailers["grpc-status"], "0");
    session.destroy();
  });

  test("an answer of trailers alone, a program that is none of gRPC, and one that does not listen", async () => {
    const session = open("rpc");
    const refused = await ask(session, { ...fields, ":path": "/svc/refuses" }, Buffer.from("x"));
    assert.equal(refused.headers["grpc-status"], "7");
    session.destroy();
    for (const [name, rule] of [
      ["abc", "bad-answer"],
      ["gone", "not-listening"],
    ] as const) {
      const other = open(name);
      const found = await ask(other, { ...fields, ":authority": `${name}.localhost`, ":path": "/" }, Buffer.from("x"));
      assert.deepEqual([found.status, found.headers["caisson-gateway"]], [502, rule]);
      other.destroy();
    }
  });
});
