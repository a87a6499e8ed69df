/** A guest that breaks the protocol of its egress port: it loses its network, the others notice nothing. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Socket } from "node:net";
import { answerSync, Guest } from "../testing/guest.ts";
import { startHarness, startHttps, type Harness, type Upstream } from "../testing/harness.ts";
import { ask, raw } from "../testing/talk.ts";

let upstream: Upstream;
let harness: Harness;
before(async () => {
  upstream = await startHttps(["api.test"], (request, response) => {
    request.resume();
    request.on("end", () => response.end("ok"));
    request.on("error", () => {});
  });
  harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

async function stillServed(): Promise<void> {
  const began = performance.now();
  assert.equal((await ask(harness.guest, "api.test")).text, "ok");
  assert.ok(performance.now() - began < 20_000);
}

/** Resident memory of the worker, bytes. */
async function resident(): Promise<number> {
  const status = await readFile(`/proc/${harness.guard.workerPids[0]}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024;
}

/** Attaches a second sandbox whose port is served by `behave`. */
async function withHostile(name: string, behave: (socket: Socket) => void, during: () => Promise<void>): Promise<void> {
  const path = join(harness.directory, `${name}.sock`);
  const guest = await Guest.listen(path, behave);
  const sandboxId = `sbx_ord_${randomBytes(8).toString("hex")}`;
  await harness.guard.attach({ sandboxId, socketPath: path, policy: {}, secrets: [] });
  try {
    await during();
  } finally {
    await harness.guard.detach(sandboxId);
    await guest.close();
  }
}

const behaviours: Record<string, (socket: Socket) => void> = {
  "never answers": () => {},
  "closes at once": (socket) => socket.destroy(),
  "floods without answering": (socket) => {
    const block = randomBytes(65536);
    const fill = (): void => {
      while (!socket.destroyed && socket.write(block));
    };
    socket.on("drain", fill);
    fill();
  },
  "echoes another line": (socket) => socket.on("data", () => socket.write(`CAISSON-SYNC ${"0".repeat(32)}\n`)),
  "answers, then sends garbage": (socket) => void answerSync(socket).then(() => socket.write(randomBytes(100_000))),
  "answers, then sends HTTP/1.1": (socket) =>
    void answerSync(socket).then(() => socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
  "answers, then half a preface": (socket) =>
    void answerSync(socket).then(() => socket.write("PRI * HTTP/2.0\r\n\r\n")),
  "answers, then endless settings": (socket) =>
    void answerSync(socket).then(() => {
      socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      const block = Buffer.concat(Array.from({ length: 5000 }, () => Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])));
      const fill = (): void => {
        while (!socket.destroyed && socket.write(block));
      };
      socket.on("drain", fill);
      fill();
    }),
};
for (const [what, behave] of Object.entries(behaviours)) {
  test(`a guest that ${what} disturbs nobody`, async () => {
    const before = await resident();
    await withHostile(what.replaceAll(/[^a-z]/g, ""), behave, async () => {
      await sleep(400);
      await stillServed();
    });
    assert.ok((await resident()) - before < 150e6, "memory grew");
  });
}

const flooding: Record<string, Buffer> = {
  PING: Buffer.from([0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]),
  // Credit for the connection, which may be given at any time.
  WINDOW_UPDATE: Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
  "frames of a type that does not exist": Buffer.concat([
    Buffer.from([0, 64, 0, 240, 0, 0, 0, 0, 0]),
    Buffer.alloc(16384),
  ]),
};
for (const [what, frame] of Object.entries(flooding)) {
  test(`a guest that sends ${what} without end is reported and not read any more`, async () => {
    const block = Buffer.concat(Array.from({ length: Math.ceil(8192 / frame.length) }, () => frame));
    const reported = Promise.withResolvers<string>();
    harness.guard.onFlood((_, detail) => reported.resolve(detail));
    let sent = 0;
    const behave = (socket: Socket) =>
      void answerSync(socket).then(() => {
        socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
        socket.resume();
        // Not faster than the answers to it are taken: HTTP/2 itself ends a session with too many of them waiting.
        const flood = setInterval(() => {
          if (socket.writableNeedDrain) return;
          socket.write(block);
          sent += block.length;
        }, 1);
        socket.once("close", () => clearInterval(flood));
      });
    await withHostile(what.replaceAll(/[^a-zA-Z]/g, ""), behave, async () => {
      // On a busy host the answers to PING wait long enough for HTTP/2 itself to end the sessions.
      assert.match(await reported.promise, what === "PING" ? /floods its port|again and again/ : /floods its port/);
      await sleep(100);
      const before = sent;
      await sleep(300);
      assert.equal(sent, before, "the port is still read");
      await stillServed();
    });
  });
}

test("a guest that breaks its connection with PINGs, again and again, is reported as well", async () => {
  const reported = Promise.withResolvers<string>();
  const sandboxId = `sbx_ord_${randomBytes(8).toString("hex")}`;
  harness.guard.onFlood((id, detail) => void (id === sandboxId && reported.resolve(detail)));
  const socketPath = join(harness.directory, "breaking.sock");
  let connections = 0;
  const guest = await Guest.listen(socketPath, (socket) => {
    connections++;
    void (async () => {
      await answerSync(socket);
      socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
      // In one piece, so that the answers to them wait: that is more than a session bears.
      socket.write(Buffer.alloc(17 * 4000, Buffer.from("0000080600000000000000000000000000", "hex")));
    })();
  });
  await harness.guard.attach({ sandboxId, socketPath, policy: {}, secrets: [] });
  assert.match(await reported.promise, /again and again|floods its port/);
  assert.ok(connections < 20, String(connections));
  await harness.guard.detach(sandboxId);
  await guest.close();
  await stillServed();
});

test("stale bytes before the echo are passed over, also when the line comes in pieces", async () => {
  const path = join(harness.directory, "stale.sock");
  let echoed = "";
  const guest = await Guest.listen(path, (socket) => {
    socket.write(randomBytes(5000));
    socket.once("data", (line: Buffer) => {
      echoed = line.toString();
      socket.write("CAISSON-SYNC 00");
      for (const [index, byte] of line.entries()) setTimeout(() => socket.write(Buffer.from([byte])), 5 * index);
    });
  });
  const sandboxId = `sbx_ord_${randomBytes(8).toString("hex")}`;
  await harness.guard.attach({ sandboxId, socketPath: path, policy: {}, secrets: [] });
  await sleep(800);
  assert.match(echoed, /^CAISSON-SYNC [0-9a-f]{32}\n$/);
  await harness.guard.detach(sandboxId);
  await guest.close();
});

test("a cut connection is taken up again, and a second attach replaces the first", async () => {
  const before = harness.guest.sessions;
  harness.guest.cut();
  for (let tries = 0; tries < 300 && harness.guest.sessions === before; tries++) await sleep(10);
  assert.ok(harness.guest.sessions > before);
  await stillServed();
});

test("many connections that say nothing, or end in the middle, leave room for those that speak", async () => {
  const silent = await Promise.all(Array.from({ length: 200 }, () => harness.guest.connect("api.test:443")));
  await stillServed();
  for (const stream of silent) stream.write(Buffer.from([22, 3, 1, 2, 0, 1]));
  await stillServed();
  for (const stream of silent) stream.destroy();
  const streams = await Promise.all(Array.from({ length: 50 }, () => harness.guest.connectTls("api.test:443")));
  for (const stream of streams) stream.write("POST / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 1000000\r\n\r\nabc");
  await stillServed();
  for (const stream of streams) stream.destroy();
  await stillServed();
});

test("more streams than the bound wait for their turn instead of costing memory", async () => {
  const session = await harness.guest.session();
  const streams = Array.from({ length: 2000 }, () => {
    const stream = session.request({ ":method": "CONNECT", ":authority": "api.test:443" });
    stream.on("error", () => {});
    return stream;
  });
  await sleep(300);
  for (const stream of streams) stream.destroy();
  await sleep(300);
  await stillServed();
});

test("a reader that never reads stops its own download and nobody else's", async () => {
  const before = await resident();
  const big = await startHttps(["api.test"], (_, response) => {
    const block = Buffer.alloc(2 ** 20);
    const fill = (): void => {
      while (!response.destroyed && response.write(block));
    };
    response.on("drain", fill);
    response.on("error", () => {});
    fill();
  });
  const other = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${big.port}` },
  });
  try {
    const streams = await Promise.all(Array.from({ length: 5 }, () => other.guest.connectTls("api.test:443")));
    for (const stream of streams) {
      stream.pause();
      stream.write("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n");
    }
    await sleep(1500);
    const status = await readFile(`/proc/${other.guard.workerPids[0]}/status`, "utf8");
    assert.ok(Number(/VmRSS:\s+(\d+)/.exec(status)![1]) * 1024 < 500e6, status);
    for (const stream of streams) stream.destroy();
  } finally {
    await other.close();
    await big.close();
  }
  await stillServed();
  assert.ok((await resident()) - before < 150e6);
});

test("connections that were refused free their places, also when the guest had ended what it said", async () => {
  // TLS, and in it a client's hello of one byte.
  const noHello = Buffer.from([22, 3, 1, 0, 5, 1, 0, 0, 1, 0]);
  // More than a session has places.
  for (let done = 0; done < 700; done += 50)
    await Promise.all(
      Array.from({ length: 50 }, async () => {
        const stream = await harness.guest.connect("api.test:443");
        stream.end(noHello);
        await new Promise((resolve) => stream.resume().once("close", resolve));
      }),
    );
  await harness.refusal("malformed-hello");
  await stillServed();
});

test("a request that comes a byte at a time does not keep others waiting", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  const drip = setInterval(() => socket.destroyed || socket.write("X"), 50);
  await stillServed();
  clearInterval(drip);
  const answer = await raw(socket, "\r\n\r\n", 500);
  assert.ok(!answer.startsWith("HTTP/1.1 200"));
});
