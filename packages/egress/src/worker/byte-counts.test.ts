/** Bytes in the record of connections and requests, in every way that a connection may go. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import type { EgressEvent } from "@caisson/protocol";
import {
  makeSecret,
  startHarness,
  startHttp,
  startHttp2,
  startHttps,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../testing/harness.ts";
import { ask, askPlain, openHttp2, raw } from "../testing/talk.ts";

const size = 100_000;
/** What TLS, heads and frames may add to a body, and no body can hide in. */
const framing = 20_000;
const upstreams: Upstream[] = [];
let harness: Harness;

before(async () => {
  const body = Buffer.alloc(size, "x");
  const https = await startHttps(["api.test", "pass.test"], (request, response) => {
    request.resume().on("end", () => response.end(body));
  });
  new WebSocketServer({ server: https.server, perMessageDeflate: false }).on("connection", (socket) =>
    socket.on("message", (data) => socket.send(data)),
  );
  const http = await startHttp((request, response) => void request.resume().on("end", () => response.end(body)));
  const http2 = await startHttp2(["api.test"], (server) =>
    server.on("stream", (stream) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200 });
      stream.resume().on("end", () => stream.end(body));
    }),
  );
  const echo = await startTcp(createServer((socket) => void socket.on("error", () => {}).pipe(socket)));
  const greeting = await startTcp(createServer((socket) => void socket.on("error", () => {}).end(body)));
  upstreams.push(https, http, http2, echo, greeting);
  harness = await startHarness({
    secrets: [makeSecret(["api.test"])],
    resolve: {
      "api.test": `127.0.0.1:${https.port}`,
      "api.test:8443": `127.0.0.1:${http2.port}`,
      "pass.test": `127.0.0.1:${https.port}`,
      "api.test:80": `127.0.0.1:${http.port}`,
      "api.test:6379": `127.0.0.1:${echo.port}`,
      "api.test:25": `127.0.0.1:${greeting.port}`,
    },
  });
});
after(async () => {
  await harness.close();
  await Promise.all(upstreams.map((upstream) => upstream.close()));
});

function about(count: number, expected: number, what: string): void {
  assert.ok(count >= expected && count < expected + framing, `${what}: ${count} bytes, ${expected} of them in bodies`);
}

async function counted(out: number, incoming: number, fits: (event: EgressEvent) => boolean): Promise<void> {
  const connection = await harness.event((event) => event.kind === "connection" && fits(event));
  about(connection.bytesOut, out, "out");
  about(connection.bytesIn, incoming, "in");
  harness.events.length = 0;
}

async function request(protocol: EgressEvent["protocol"], out: number, incoming: number): Promise<EgressEvent> {
  const event = await harness.event((one) => one.kind === "request");
  assert.deepEqual([event.protocol, event.bytesOut, event.bytesIn], [protocol, out, incoming]);
  return event;
}

const posted = { method: "POST", body: Buffer.alloc(size / 2) };

test("HTTP/1.1 inside TLS that the proxy ends", async () => {
  await ask(harness.guest, "api.test", posted);
  await request("http/1.1", size / 2, size);
  await counted(size / 2, size, ({ protocol }) => protocol === "tls");
});

test("HTTP/2 inside TLS that the proxy ends", async () => {
  const session = await openHttp2(harness.guest, "api.test", 8443);
  const stream = session.request({ ":method": "POST", ":authority": "api.test:8443" });
  stream.end(posted.body);
  stream.resume();
  await once(stream, "end");
  session.destroy();
  await request("h2", size / 2, size);
  await counted(size / 2, size, ({ protocol }) => protocol === "tls");
});

test("a WebSocket", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  const client = new WebSocket("wss://api.test/", {
    createConnection: () => socket as never,
    perMessageDeflate: false,
  });
  await once(client, "open");
  client.send(posted.body);
  await once(client, "message");
  client.close();
  await once(client, "close");
  const event = await harness.event(({ protocol }) => protocol === "websocket");
  about(event.bytesOut, size / 2, "out");
  about(event.bytesIn, size / 2, "in");
  assert.equal(event.address, "127.0.0.1");
  await counted(size / 2, size / 2, ({ protocol }) => protocol === "tls");
});

test("HTTP without TLS", async () => {
  await askPlain(harness.guest, "api.test", posted);
  await request("http/1.1", size / 2, size);
  await counted(size / 2, size, ({ protocol }) => protocol === "http/1.1");
});

test("TLS that passes through", async () => {
  const socket = await harness.guest.connectTls("pass.test:443", { ca: upstreamAuthority.certificatePem });
  const head = `POST / HTTP/1.1\r\nHost: pass.test\r\nConnection: close\r\nContent-Length: ${size / 2}\r\n\r\n`;
  await raw(socket, Buffer.concat([Buffer.from(head), posted.body]));
  await counted(size / 2, size, ({ host }) => host === "pass.test");
});

test("a tunnel, and one in which the server begins", async () => {
  const stream = await harness.guest.connect("api.test:6379");
  stream.end(Buffer.alloc(size, 1));
  stream.resume();
  await once(stream, "end");
  await counted(size, size, ({ port }) => port === 6379);
  const other = await harness.guest.connect("api.test:25");
  other.resume();
  await once(other, "end");
  other.end();
  await counted(0, size, ({ port }) => port === 25);
});

test("what the proxy itself answers", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  assert.match(await raw(socket, "GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"), /^HTTP\/1.1 403/);
  await request("http/1.1", 0, 0);
  await counted(200, 200, ({ protocol }) => protocol === "tls");
});
