/** HTTP/2 and gRPC through interception, and clients that abuse them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { createServer as createPlainHttp2 } from "node:http2";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as grpc from "@grpc/grpc-js";
import {
  makeSecret,
  startHarness,
  startHttp2,
  startHttps,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../../testing/harness.ts";
import { ask, openHttp2 } from "../../testing/talk.ts";

const secret = makeSecret(["api.test", "grpc.test"]);
const { value, placeholder } = secret;
let http2: Upstream;
let http1: Upstream;
let plain: Upstream;
let grpcServer: grpc.Server;
let harness: Harness;
let seen: Record<string, unknown>[] = [];

const raw = {
  requestSerialize: (data: Buffer) => data,
  requestDeserialize: (data: Buffer) => data,
  responseSerialize: (data: Buffer) => data,
  responseDeserialize: (data: Buffer) => data,
};
const service: grpc.ServiceDefinition = {
  Unary: { path: "/echo.Echo/Unary", requestStream: false, responseStream: false, ...raw },
  Bidi: { path: "/echo.Echo/Bidi", requestStream: true, responseStream: true, ...raw },
};

before(async () => {
  http2 = await startHttp2(["api.test", "other.test"], (server) =>
    server.on("stream", (stream, headers) => {
      seen.push({ ...headers });
      const key = (headers.authorization ?? "").replace("Bearer ", "");
      stream.on("error", () => {});
      stream.respond({ ":status": 200, "x-key": key, "set-cookie": [`a=${key}`, "b=2"] }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": key }));
      stream.pipe(stream, { end: false });
      stream.on("end", () => {
        for (const byte of Buffer.from(`<${key}>`)) stream.write(Buffer.from([byte]));
        stream.end();
      });
    }),
  );
  http1 = await startHttps(["old.test"], (request, response) => {
    request.resume();
    response.end(`one ${request.headers.cookie}`);
  });
  const plainServer = createPlainHttp2((request, response) => response.end(`h2c ${request.headers[":authority"]}`));
  plain = await startTcp(plainServer);
  grpcServer = new grpc.Server();
  grpcServer.addService(service, {
    Unary: (call: grpc.ServerUnaryCall<Buffer, Buffer>, callback: grpc.sendUnaryData<Buffer>) => {
      const key = String(call.metadata.get("authorization")[0] ?? "").replace("Bearer ", "");
      const trailer = new grpc.Metadata();
      trailer.set("x-key", key || "none");
      if (call.request.toString() === "fail")
        return callback({ code: grpc.status.PERMISSION_DENIED, details: `bad key ${key}`, metadata: trailer });
      callback(null, Buffer.from(`${call.request.toString()} ${key}`), trailer);
    },
    Bidi: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
      call.on("data", (data: Buffer) => call.write(Buffer.from(`re: ${data.toString()}`)));
      call.on("end", () => call.end());
    },
  });
  const identity = await upstreamAuthority.issue(["grpc.test"]);
  const credentials = grpc.ServerCredentials.createSsl(null, [
    { private_key: Buffer.from(identity.key), cert_chain: Buffer.from(identity.cert) },
  ]);
  const grpcPort = await new Promise<number>((resolve, reject) =>
    grpcServer.bindAsync("127.0.0.1:0", credentials, (error, port) => (error ? reject(error) : resolve(port))),
  );
  harness = await startHarness({
    policy: { allow: ["api.test", "other.test", "old.test", "grpc.test", "plain.test"] },
    secrets: [secret],
    resolve: {
      "api.test": `127.0.0.1:${http2.port}`,
      "other.test": `127.0.0.1:${http2.port}`,
      "old.test": `127.0.0.1:${http1.port}`,
      "grpc.test": `127.0.0.1:${grpcPort}`,
      "plain.test": `127.0.0.1:${plain.port}`,
    },
  });
});
after(async () => {
  grpcServer.forceShutdown();
  await harness.close();
  await Promise.all([http2.close(), http1.close(), plain.close()]);
});

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  trailers: Record<string, unknown>;
  text: string;
}
async function exchange(host: string, headers: Record<string, string>, body = "body"): Promise<Answer> {
  const session = await openHttp2(harness.guest, host);
  try {
    const stream = session.request({ ":path": "/", ":method": "POST", ":authority": host, ...headers });
    const answer: Answer = { status: 0, headers: {}, trailers: {}, text: "" };
    stream.on("response", (got) => ([answer.status, answer.headers] = [Number(got[":status"]), { ...got }]));
    stream.on("trailers", (got) => (answer.trailers = { ...got }));
    stream.on("data", (chunk) => (answer.text += chunk));
    stream.end(body);
    await once(stream, "end");
    return answer;
  } finally {
    session.destroy();
  }
}

test("headers, body split over frames and trailers of HTTP/2 are substituted out and redacted in", async () => {
  const answer = await exchange("api.test", { authorization: `Bearer ${placeholder}` });
  assert.equal(seen.at(-1)!["authorization"], `Bearer ${value}`);
  assert.equal(answer.headers["x-key"], placeholder);
  assert.deepEqual(answer.headers["set-cookie"], [`a=${placeholder}`, "b=2"]);
  assert.equal(answer.text, `body<${placeholder}>`);
  assert.equal(answer.trailers["x-trailer"], placeholder);
});

test("a placeholder for another host is refused in HTTP/2 too", async () => {
  seen = [];
  assert.equal((await exchange("other.test", { authorization: `Bearer ${placeholder}` })).status, 403);
  assert.equal(
    (await exchange("other.test", { "x-a": Buffer.from(`u:${placeholder}`).toString("base64") })).status,
    403,
  );
  assert.equal(seen.length, 0);
  const late = await exchange("other.test", {}, `x${placeholder}x`).catch(() => undefined);
  assert.ok(late === undefined || late.status === 403 || !late.text.includes(placeholder));
});

test("a guest that speaks HTTP/2 reaches a host that does not, and the reverse", async () => {
  assert.equal((await exchange("old.test", { cookie: "a=1; b=2" })).text, "one a=1; b=2");
  const refused = await ask(harness.guest, "api.test", { path: "/" }).catch((error: Error) => error);
  // This upstream speaks only HTTP/2; the failure is told, not hidden.
  assert.ok(refused instanceof Error || refused.status === 502);
});

test("HTTP/2 without TLS, as gRPC uses inside networks, is carried", async () => {
  const { connect } = await import("node:http2");
  const socket = await harness.guest.connect("plain.test:50051");
  const session = connect("http://plain.test:50051", { createConnection: () => socket });
  const stream = session.request({ ":path": "/", ":authority": "plain.test:50051" });
  let text = "";
  stream.on("data", (chunk) => (text += chunk));
  await once(stream, "end");
  assert.equal(text, "h2c plain.test:50051");
  const other = session.request({ ":path": "/", ":authority": "evil.test" });
  const [headers] = await once(other, "response");
  assert.equal(headers[":status"], 421);
  session.destroy();
});

/** The official client needs an address to dial: a listener that carries each connection into the guest's world. */
async function withGrpc<T>(use: (client: grpc.Client) => Promise<T>): Promise<T> {
  const entrance = createServer((socket) => {
    void harness.guest.connect("grpc.test:443").then(
      (stream) => {
        socket.pipe(stream).pipe(socket);
        socket.on("error", () => stream.destroy());
      },
      () => socket.destroy(),
    );
  });
  entrance.listen(0, "127.0.0.1");
  await once(entrance, "listening");
  const { port } = entrance.address() as AddressInfo;
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createSsl(Buffer.from(harness.guest.ca)), {
    "grpc.ssl_target_name_override": "grpc.test",
    "grpc.default_authority": "grpc.test",
  });
  try {
    return await use(client);
  } finally {
    client.close();
    entrance.close();
  }
}

function metadata(): grpc.Metadata {
  const result = new grpc.Metadata();
  result.set("authorization", `Bearer ${placeholder}`);
  return result;
}

test("a unary gRPC call uses the key and does not see it", async () => {
  await withGrpc(async (client) => {
    const [reply, status] = await new Promise<[Buffer, grpc.StatusObject]>((resolve, reject) => {
      let answer: Buffer;
      const call = client.makeUnaryRequest(
        "/echo.Echo/Unary",
        (data: Buffer) => data,
        (data: Buffer) => data,
        Buffer.from("hello"),
        metadata(),
        (error, data) => (error ? reject(error) : (answer = data!)),
      );
      call.on("status", (got) => got.code === grpc.status.OK && resolve([answer, got]));
    });
    // Message lengths are counted inside the body, so what stands in has the length of the value.
    assert.equal(reply.length, Buffer.byteLength(`hello ${value}`));
    assert.ok(reply.toString().startsWith(`hello ${placeholder.slice(0, 20)}`) && !reply.includes(value));
    assert.deepEqual(status.metadata.get("x-key"), [placeholder]);
  });
});

test("a failing gRPC call keeps its status, without the key", async () => {
  await withGrpc(async (client) => {
    const error = await new Promise<grpc.ServiceError>((resolve) =>
      client.makeUnaryRequest(
        "/echo.Echo/Unary",
        (data: Buffer) => data,
        (data: Buffer) => data,
        Buffer.from("fail"),
        metadata(),
        (failure) => resolve(failure!),
      ),
    );
    assert.equal(error.code, grpc.status.PERMISSION_DENIED);
    assert.ok(error.details.includes(placeholder) && !error.details.includes(value), error.details);
  });
});

test("both directions of a gRPC stream flow at once, message by message", async () => {
  await withGrpc(async (client) => {
    const call = client.makeBidiStreamRequest(
      "/echo.Echo/Bidi",
      (data: Buffer) => data,
      (data: Buffer) => data,
      metadata(),
    );
    for (const word of ["one", "ends with s", "ends with c"]) {
      call.write(Buffer.from(word));
      const [reply] = (await once(call, "data")) as [Buffer];
      assert.equal(reply.toString(), `re: ${word}`);
    }
    call.end();
    await once(call, "end");
  });
});

/** A frame of HTTP/2, by hand: no client would send these. */
function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}
const preface = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
/** `GET https://api.test/` as HPACK has it. */
const getHeaders = Buffer.concat([Buffer.from([0x82, 0x87, 0x84, 0x41, 8]), Buffer.from("api.test")]);

const floods: Record<string, (index: number) => Buffer> = {
  resets: (index) =>
    Buffer.concat([frame(1, 4, 2 * index + 1, getHeaders), frame(3, 0, 2 * index + 1, Buffer.from([0, 0, 0, 8]))]),
  pings: () => frame(6, 0, 0, Buffer.alloc(8)),
  settings: () => frame(4, 0, 0),
  "continuations without end": (index) =>
    index === 0
      ? frame(1, 0, 1, getHeaders)
      : frame(9, 0, 1, Buffer.concat([Buffer.from([0, 3, 0x78, 0x2d, 0x61, 100]), Buffer.alloc(100, 0x61)])),
  "a table that unfolds to more and more": (index) =>
    index === 0
      ? frame(
          1,
          4,
          1,
          Buffer.concat([getHeaders, Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x61)]),
        )
      : frame(1, 5, 2 * index + 1, Buffer.concat([getHeaders, Buffer.alloc(4000, 0xbe)])),
  "frames of no known stream": (index) => frame(8, 0, 2 * index + 100_001, Buffer.from([0, 0, 0, 1])),
  "empty data": (index) =>
    index === 0
      ? frame(1, 4, 1, Buffer.concat([Buffer.from([0x83, 0x87, 0x84, 0x41, 8]), Buffer.from("api.test")]))
      : frame(0, 0, 1),
};
for (const [what, make] of Object.entries(floods)) {
  test(`a flood of ${what} ends the session of the flooder, or costs the others nothing`, async () => {
    const socket = await harness.guest.connectTls("api.test:443", { ALPNProtocols: ["h2"] });
    socket.resume();
    const closed = once(socket, "close");
    socket.write(preface);
    for (let index = 0; index < 20_000 && !socket.destroyed; index += 200) {
      const block = Buffer.concat(Array.from({ length: 200 }, (_, offset) => make(index + offset)));
      if (!socket.write(block)) await Promise.race([once(socket, "drain"), closed, sleep(2_000)]);
    }
    const ended = await Promise.race([closed.then(() => true), sleep(1_000).then(() => false)]);
    if (["resets", "continuations without end", "frames of no known stream"].includes(what))
      assert.ok(ended, "the session goes on");
    const began = performance.now();
    assert.equal((await exchange("api.test", {})).status, 200);
    assert.ok(performance.now() - began < 3_000);
    socket.destroy();
  });
}

test("headers beyond the bound end in an error, and memory is not spent on them", async () => {
  const session = await openHttp2(harness.guest, "api.test");
  const stream = session.request({
    ":path": "/",
    ":authority": "api.test",
    ...Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`x-${index}`, "a".repeat(1000)])),
  });
  const outcome = await Promise.race([
    once(stream, "response").then(([headers]) => Number(headers[":status"])),
    once(stream, "error").then(() => 0),
    once(session, "close").then(() => 0),
    sleep(3_000).then(() => -1),
  ]).catch(() => 0);
  assert.notEqual(outcome, 200);
  session.destroy();
  assert.equal((await exchange("api.test", {})).status, 200);
});
