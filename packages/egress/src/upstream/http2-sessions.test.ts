/** Sessions of HTTP/2 with hosts: what is not read is bounded, no request waits for another, and none waits for ever. */
import assert from "node:assert/strict";
import { connect, type ClientHttp2Session, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcp } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { canonicalHost } from "@caisson/policy";
import { startHarness, startHttp2, startTcp, type Harness, type Upstream } from "../testing/harness.ts";
import { callHttp2 } from "./http2.ts";
import { Origins } from "./origins.ts";
import { createUpstreamTrust } from "./trust.ts";

const open: { close(): Promise<void> }[] = [];
after(async () => {
  for (const each of open.toReversed()) await each.close();
});

async function startGuest(upstream: Upstream): Promise<Harness> {
  open.push(upstream);
  const harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
  open.push(harness);
  return harness;
}

/** A session whose guest takes so many bytes of each answer. */
async function openSession({ guest }: Harness, initialWindowSize: number): Promise<ClientHttp2Session> {
  const socket = await guest.connectTls("api.test:443", { ALPNProtocols: ["h2"] });
  const session = connect("https://api.test", { createConnection: () => socket, settings: { initialWindowSize } });
  return session.on("error", () => {});
}

/** The status of an answer, or 0. */
function status(session: ClientHttp2Session, path: string): Promise<number> {
  return new Promise((resolve) => {
    const stream = session.request({ ":path": path });
    stream.on("response", (headers) => resolve(Number(headers[":status"])));
    stream.on("error", () => {}).on("close", () => resolve(0));
    setTimeout(() => resolve(0), 5000).unref();
    stream.on("data", () => {});
  });
}

/** Writes until nothing more is taken. */
function pour(stream: ServerHttp2Stream, count: (bytes: number) => void): void {
  const piece = Buffer.alloc(64 * 1024, "a");
  const write = (): void => {
    while (!stream.destroyed) {
      const goesOn = stream.write(piece, () => count(piece.length));
      if (!goesOn) return;
    }
  };
  stream.on("drain", write);
  write();
}

test("answers that nobody reads hold a bounded part of the worker, and leave room for the next request", async () => {
  let poured = 0;
  const harness = await startGuest(
    await startHttp2(["api.test"], (server) =>
      server.on("stream", (stream, headers) => {
        stream.on("error", () => {}).respond({ ":status": 200 });
        if (headers[":path"] === "/pour") pour(stream, (bytes) => (poured += bytes));
        else stream.end("answered");
      }),
    ),
  );
  const sessions = [await openSession(harness, 0), await openSession(harness, 0)];
  const statuses = sessions.flatMap((session) => Array.from({ length: 90 }, () => status(session, "/pour")));
  assert.deepEqual(new Set(await Promise.all(statuses)), new Set([200]));
  for (let before = -1; before !== poured; await sleep(500)) before = poured;
  // 16 wide windows, 164 narrow ones, what waits for the guest, and what the upstream counts as written and has not sent.
  assert.ok(poured < 180 * (256 + 128 + 128) * 1024 + 16 * 2 * 2 ** 20, `${Math.round(poured / 2 ** 20)} MiB`);
  const next = await openSession(harness, 65_535);
  assert.equal(await status(next, "/small"), 200);
  for (const session of [...sessions, next]) session.destroy();
});

test("an upstream that allows one stream at a time gets a session for each", async () => {
  let waiting: ServerHttp2Stream[] = [];
  const harness = await startGuest(
    await startHttp2(["api.test"], (server) => {
      server.updateSettings({ maxConcurrentStreams: 1 });
      server.on("stream", (stream) => {
        waiting.push(stream.on("error", () => {}));
        if (waiting.length < 4) return;
        for (const each of waiting) each.respond({ ":status": 200 }, { endStream: true });
        waiting = [];
      });
    }),
  );
  const session = await openSession(harness, 65_535);
  assert.deepEqual(await Promise.all([1, 2, 3, 4].map(() => status(session, "/"))), [200, 200, 200, 200]);
  session.destroy();
});

test("an upstream that allows no streams is reported", async () => {
  const harness = await startGuest(
    await startHttp2(["api.test"], (server) => server.updateSettings({ maxConcurrentStreams: 0 })),
  );
  const session = await openSession(harness, 65_535);
  assert.equal(await status(session, "/"), 502);
  await harness.event(
    (event) => event.rule === "upstream-protocol" && /allows no HTTP\/2 streams/.test(event.detail ?? ""),
  );
  session.destroy();
});

test("an upstream that never begins its answer, or its session, is not waited for without end", async () => {
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const upstream = await startTcp(
    createTcp(
      (socket) =>
        void socket
          .on("error", () => {})
          .resume()
          .write(settings),
    ),
  );
  const mute = await startTcp(createTcp((socket) => socket.on("error", () => {}).resume()));
  open.push(upstream, mute);
  const origins = new Origins({ trust: createUpstreamTrust([]), patience: 300 });
  const originAt = ({ port }: Upstream): ReturnType<Origins["get"]> =>
    origins.get("http", canonicalHost("api.test")!, { addresses: ["127.0.0.1"], port, key: String(port) });
  const stay = new AbortController();
  const never = (): never => assert.fail("nothing should come");
  const free = await originAt(upstream).http2(stay.signal);
  const failure = await new Promise((fail) =>
    callHttp2(
      free!,
      "http",
      { method: "GET", target: "/", authority: "api.test", headers: [] },
      { head: never, data: never, end: never, fail },
    ),
  );
  assert.equal((failure as { rule?: string }).rule, "upstream-timeout");
  const guest = new AbortController();
  const left = originAt(mute).http2(guest.signal);
  setTimeout(() => guest.abort(new Error("The guest went away")), 50);
  await assert.rejects(left);
  await assert.rejects(originAt(mute).http2(stay.signal), { rule: "upstream-timeout" });
  origins.destroy();
});
