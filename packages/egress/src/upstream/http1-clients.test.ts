/** Connections of HTTP/1.1 to a host: no request waits for another, and nothing stays of a guest that has left. */
import assert from "node:assert/strict";
import { createServer as createTcp, type Server } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { canonicalHost } from "@caisson/policy";
import { startHarness, startHttps, startTcp, type Harness } from "../testing/harness.ts";
import { ask } from "../testing/talk.ts";
import type { UpstreamFailure } from "./failure.ts";
import { callHttp1 } from "./http1.ts";
import { Http1Clients } from "./http1-clients.ts";
import { Origins } from "./origins.ts";
import { createUpstreamTrust } from "./trust.ts";

const open: { close(): Promise<void> }[] = [];
after(async () => {
  for (const each of open.toReversed()) await each.close();
});

async function startGuest(port: number): Promise<Harness> {
  const harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${port}` },
  });
  open.push(harness);
  return harness;
}

async function until(done: () => boolean, patience = 3000): Promise<void> {
  for (const end = Date.now() + patience; !done() && Date.now() < end;) await sleep(10);
}

test("beside a hundred answers without end there is room for the next request", async () => {
  let streams = 0;
  const upstream = await startHttps(["api.test"], (request, response) => {
    if (request.url === "/events") {
      streams++;
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
      response.once("close", () => streams--);
    } else response.end("answered");
  });
  open.push(upstream);
  const { guest } = await startGuest(upstream.port);
  const held = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const socket = await guest.connectTls("api.test:443");
      socket.resume().write("GET /events HTTP/1.1\r\nHost: api.test\r\n\r\n");
      return socket;
    }),
  );
  await until(() => streams === 100);
  assert.equal(streams, 100);
  assert.equal((await Promise.race([ask(guest, "api.test"), sleep(3000)]))?.text, "answered");
  for (const socket of held) socket.destroy();
  await until(() => streams === 0);
  assert.equal(streams, 0);
});

for (const [what, greet] of [
  ["has not begun to answer", true],
  ["has not finished its handshake", false],
] as const) {
  test(`a guest that leaves an upstream that ${what} takes its connection along`, async () => {
    let connections = 0;
    const count = (socket: { once(event: "close", gone: () => void): unknown }): void => {
      connections++;
      socket.once("close", () => connections--);
    };
    const mute = createTcp((socket) => count(socket.on("error", () => {}).resume()));
    const upstream = greet ? await startHttps(["api.test"], () => {}) : await startTcp(mute);
    if ("server" in upstream) (upstream.server as Server).on("connection", count);
    open.push(upstream);
    const { guest } = await startGuest(upstream.port);
    const sockets = await Promise.all(
      Array.from({ length: 3 }, async () => {
        const socket = await guest.connectTls("api.test:443");
        socket.write("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n");
        return socket;
      }),
    );
    await until(() => connections === 3);
    assert.equal(connections, 3);
    for (const socket of sockets) socket.destroy();
    await until(() => connections === 0, 2000);
    assert.equal(connections, 0);
  });
}

test("early answers do not prolong the wait for the real one", async () => {
  const upstream = await startTcp(
    createTcp((socket) => {
      const timer = setInterval(() => socket.write("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"), 50);
      socket.on("error", () => {}).on("close", () => clearInterval(timer));
    }),
  );
  open.push(upstream);
  const origins = new Origins({ trust: createUpstreamTrust([]), patience: 400 });
  const target = { addresses: ["127.0.0.1"], port: upstream.port, key: "test" };
  const origin = origins.get("http", canonicalHost("api.test")!, target);
  const never = (): never => assert.fail("nothing should come");
  const failure = await new Promise<Error>((fail) =>
    callHttp1(
      origin.http1,
      { method: "GET", target: "/", authority: "api.test", headers: [] },
      { head: never, data: never, end: never, fail },
    ),
  );
  assert.equal((failure as UpstreamFailure).rule, "upstream-timeout");
  origins.destroy();
});

test("a request that undici refuses leaves no connection behind", async () => {
  let ended = 0;
  class Counted extends Http1Clients {
    override end(...connection: Parameters<Http1Clients["end"]>): void {
      ended++;
      super.end(...connection);
    }
  }
  const clients = new Counted("http", { connect: () => Promise.reject(new Error("not asked for")), patience: 1000 });
  const refused = await new Promise<Error>((resolve, reject) => {
    const answered = (): void => reject(new Error("there was an answer"));
    const handler = { head: answered, data: answered, end: answered, fail: resolve };
    callHttp1(clients, { method: "GET", target: "no slash", authority: "api.test", headers: [] }, handler);
  });
  assert.match(refused.message, /path/);
  assert.equal(ended, 1);
  clients.destroy();
  assert.equal(ended, 1);
});
