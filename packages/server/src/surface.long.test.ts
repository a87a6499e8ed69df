/** Clients of the API that are slow on purpose. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openBareServer, rawClient } from "./testing/bare-server.ts";

test("slow heads and slow bodies are cut by time, however steadily they go on", async () => {
  const server = await openBareServer();
  try {
    const { port, server: own } = server;
    const body = `POST /api/v2/volumes HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${own.development.token}\r\ncontent-length: 1000\r\n\r\n`;
    const cases: [name: string, bytes: string, drip: string, limit: number][] = [
      ["nothing", "", "", 13_000],
      ["a head", "GET /healthz HTTP/1.1\r\n", "x-a: b\r\n", 13_000],
      ["a create", `GET /api/v3/sandboxes/create HTTP/1.1\r\nx: ${"a".repeat(100_000)}`, "a", 13_000],
      ["a body", body, " ", 64_000],
    ];
    await Promise.all(
      cases.map(async ([name, bytes, drip, limit]) => {
        const started = performance.now();
        const client = rawClient(port, bytes);
        const timer = setInterval(() => client.socket.write(drip), 500);
        const deadline = setTimeout(() => client.socket.destroy(), 90_000);
        await client.ended;
        clearInterval(timer);
        clearTimeout(deadline);
        client.socket.destroy();
        assert.ok(performance.now() - started < limit, `${name}: ${Math.round(performance.now() - started)} ms`);
      }),
    );
  } finally {
    await server.close();
  }
});
