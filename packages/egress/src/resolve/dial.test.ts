import assert from "node:assert/strict";
import { createServer } from "node:net";
import { test } from "node:test";
import { startTcp } from "../testing/harness.ts";
import { dial } from "./dial.ts";

test("an upstream proxy that does not answer is reported as a timeout", { timeout: 60_000 }, async () => {
  const proxy = await startTcp(createServer((socket) => void socket.on("error", () => {})));
  const target = { addresses: ["192.0.2.1"], port: 443, key: "192.0.2.1:443" };
  const upstreamProxy = new URL(`http://127.0.0.1:${proxy.port}`);
  await assert.rejects(dial(target, { upstreamProxy, timeout: 200 }), { name: "TimeoutError" });
  await proxy.close();
});
