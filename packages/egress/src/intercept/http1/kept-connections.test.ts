/** Connections to hosts are kept and used again; one that its host has closed in the meantime costs no request. */
import assert from "node:assert/strict";
import { createServer as createTls } from "node:tls";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startHarness, startTcp, upstreamAuthority } from "../../testing/harness.ts";
import { ask, raw } from "../../testing/talk.ts";

test("a kept connection is used again, also by other connections of the guest, and repeated when it broke", async () => {
  let connections = 0;
  let requests = 0;
  const upstream = await startTcp(
    createTls({ ...(await upstreamAuthority.issue(["api.test"])), ALPNProtocols: ["http/1.1"] }, (socket) => {
      connections++;
      let served = 0;
      socket.on("error", () => {});
      socket.on("data", () => {
        requests++;
        // The third request on a connection meets its end instead of an answer.
        if (++served === 3) socket.destroy();
        else socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
      });
    }),
  );
  const harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
  try {
    for (let count = 0; count < 4; count++) {
      assert.equal((await ask(harness.guest, "api.test")).text, "ok");
      await sleep(20);
    }
    assert.ok(connections < 4, `${connections} connections for four requests`);
    assert.equal(requests, 5);
    // A request that may have had an effect is not repeated. It is the third on the second connection.
    assert.equal((await ask(harness.guest, "api.test", { method: "POST", body: "x" })).status, 502);
  } finally {
    await harness.close();
    await upstream.close();
  }
});

test("a body that the guest asks leave to send is asked for once it may come", async () => {
  const upstream = await startTcp(
    createTls({ ...(await upstreamAuthority.issue(["api.test"])), ALPNProtocols: ["http/1.1"] }, (socket) => {
      socket.on("error", () => {});
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk.toString();
        if (text.endsWith("hello"))
          socket.end(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n${/expect/i.test(text) ? "no" : "ok"}`);
      });
    }),
  );
  const harness = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
  try {
    const socket = await harness.guest.connectTls("api.test:443");
    socket.once("data", (chunk: Buffer) => chunk.toString().startsWith("HTTP/1.1 100 ") && socket.write("hello"));
    const text = await raw(
      socket,
      "PUT / HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    );
    assert.match(text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 [^]*ok$/);
  } finally {
    await harness.close();
    await upstream.close();
  }
});
