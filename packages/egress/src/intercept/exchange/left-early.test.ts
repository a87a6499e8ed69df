/** A guest that breaks off in the middle of its body has left; the host has not failed. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { openHttp2 } from "../../testing/talk.ts";

let upstream: Upstream;
let harness: Harness;

before(async () => {
  upstream = await startHttps(["one.test"], (request, response) => {
    request.on("error", () => {}).on("end", () => response.end("ok"));
    request.resume();
  });
  harness = await startHarness({
    policy: { allow: ["one.test", "other.test"] },
    resolve: { "one.test": `127.0.0.1:${upstream.port}` },
    // It may not go there, so that bodies are searched.
    secrets: [makeSecret(["other.test"])],
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

// Collected before it is sent, searched on its way, of unknown length.
for (const length of [1000, 100_000, undefined]) {
  const recorded = async (): Promise<string> => {
    const { rule } = await harness.event(({ kind }) => kind === "request");
    await sleep(50);
    assert.equal(harness.events.filter(({ kind }) => kind === "request").length, 1);
    return rule;
  };
  for (const how of ["end", "destroy"] as const) {
    test(`HTTP/1.1, ${length ?? "no"} bytes announced, ${how}`, async () => {
      harness.events.length = 0;
      const socket = await harness.guest.connectTls("one.test:443");
      const framing = length === undefined ? "transfer-encoding: chunked" : `content-length: ${length}`;
      socket.resume().write(`POST / HTTP/1.1\r\nhost: one.test\r\n${framing}\r\n\r\n`);
      socket.write(length === undefined ? "5\r\nbegun\r\n" : "begun");
      await sleep(50);
      socket[how]();
      assert.equal(await recorded(), "guest-left");
      socket.destroy();
    });
  }
  // Node's client ends a stream before it resets it, and without a length that end may count.
  for (const how of length === undefined ? (["destroy"] as const) : (["close", "destroy"] as const)) {
    test(`HTTP/2, ${length ?? "no"} bytes announced, ${how}`, async () => {
      harness.events.length = 0;
      const session = await openHttp2(harness.guest, "one.test");
      const headers = { ":method": "POST", ":path": "/", ...(length && { "content-length": length }) };
      const stream = session.request(headers).on("error", () => {});
      stream.resume().write("begun");
      await sleep(50);
      if (how === "close") stream.close(8);
      else session.destroy();
      assert.equal(await recorded(), "guest-left");
      session.destroy();
    });
  }
}
