/** What the API does before it knows who is asking: limits for each address, heads, hosts, origins, logs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "@caisson/testing";
import {
  heldConnections,
  openBareServer,
  rawClient,
  type BareServer,
  type BareServerOptions,
} from "./testing/bare-server.ts";

const upgrade = (path: string, ...more: string[]) =>
  [
    `GET ${path} HTTP/1.1`,
    "host: localhost",
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
    ...more,
    "",
    "",
  ].join("\r\n");
const get = (path: string, ...more: string[]) =>
  [`GET ${path} HTTP/1.1`, "host: localhost", "connection: close", ...more, "", ""].join("\r\n");
const bearer = ({ server }: BareServer) => `authorization: Bearer ${server.development.token}`;
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);

async function withServer(options: BareServerOptions, use: (server: BareServer) => Promise<void>): Promise<void> {
  const server = await openBareServer(options);
  try {
    await use(server);
  } finally {
    await server.close();
  }
}

async function ask(port: number, request: string, from?: string): Promise<number> {
  const client = rawClient(port, request, from);
  const answer = await client.ended;
  client.socket.destroy();
  return statusOf(answer);
}

test("refused upgrades give their connections back, also those of clients that never close and never read", async () => {
  await withServer({}, async ({ port }) => {
    const clients = Array.from({ length: 200 }, (_, index) => {
      const client = rawClient(port, upgrade(index % 2 === 0 ? "/api/v3/sandboxes/create" : "/nowhere"));
      if (index % 4 < 2) client.socket.pause();
      return client;
    });
    const reading = clients.filter(({ socket }) => !socket.isPaused());
    await Promise.all(reading.map(({ ended }) => ended));
    await until(8_000, "no connection", async () => (await heldConnections(port)) === 0 || undefined);
    const statuses = reading.map((client) => statusOf(client.text()));
    assert.ok(
      statuses.every((status) => status === 401 || status === 404),
      statuses.join(),
    );
    for (const { socket } of clients) socket.destroy();
  });
});

test("one address cannot hold all connections", async () => {
  await withServer({ config: { api: { connections: 30, connectionsPerAddress: 10 } } }, async (server) => {
    const { port } = server;
    const greedy = Array.from({ length: 60 }, () => rawClient(port, "GET /healthz HTTP/1.1\r\n", "127.0.0.2"));
    await until(5_000, "the limit", async () => (await heldConnections(port)) === 10 || undefined);
    assert.equal(await ask(port, get("/healthz"), "127.0.0.3"), 200);
    // A WebSocket holds its place, too, and a connection that ends gives its place back.
    assert.equal(await ask(port, get("/healthz"), "127.0.0.2"), 0);
    greedy.forEach(({ socket }) => socket.destroy());
    await until(5_000, "free places", async () => (await ask(port, get("/healthz"), "127.0.0.2")) === 200 || undefined);
  });
});

test("requests without a valid token are limited by address; a token that was valid goes on", async () => {
  await withServer({ config: { api: { requestsPerAddress: 1 } } }, async (server) => {
    const { port, lines } = server;
    const list = get("/api/v2/sandboxes", bearer(server));
    assert.equal(await ask(port, list, "127.0.0.2"), 200);
    const guess = get("/api/v2/sandboxes", "authorization: Bearer ddo_guess");
    const statuses = await Promise.all(Array.from({ length: 60 }, () => ask(port, guess, "127.0.0.2")));
    assert.equal(statuses.filter((status) => status === 401).length, 10);
    assert.equal(statuses.filter((status) => status === 429).length, 50);
    assert.equal(await ask(port, upgrade("/api/v3/sandboxes/create"), "127.0.0.2"), 429);
    assert.equal(await ask(port, list, "127.0.0.2"), 200);
    assert.equal(await ask(port, guess, "127.0.0.3"), 401);
    assert.ok(lines.filter((line) => line.includes('"status":429')).length === 0);
  });
});

test("behind a trusted proxy the address comes from X-Forwarded-For, and from nobody else", async () => {
  const config = {
    trustedProxies: ["127.0.0.1", "10.0.0.0/8"],
    api: { requestsPerAddress: 1, connectionsPerAddress: 3 },
  };
  await withServer({ config }, async ({ port }) => {
    const guess = (forwarded: string) => get("/api/v2/sandboxes", `x-forwarded-for: ${forwarded}`);
    const count = async (requests: string[], from?: string) =>
      (await Promise.all(requests.map((request) => ask(port, request, from)))).filter((status) => status === 429)
        .length;
    for (let sent = 0; sent < 12; sent++) await count([guess("192.0.2.1, 10.1.1.1")]);
    assert.equal(await count([guess("8.8.8.8, 192.0.2.1")]), 1);
    assert.equal(await count([guess("192.0.2.1, 192.0.2.2")]), 0);
    // Not from a proxy: what it says of others does not count.
    for (let sent = 0; sent < 3; sent++) await count([guess(`192.0.2.${sent}`)], "127.0.0.9");
    assert.equal(
      (await count(
        Array.from({ length: 30 }, (_, n) => guess(`192.0.3.${n}`)),
        "127.0.0.9",
      )) > 0,
      true,
    );
    assert.equal(await count([guess("192.0.3.1")]), 0);
  });
});

test("a head has at most 16 KiB, that of a create 512 KiB", async () => {
  await withServer({}, async (server) => {
    const { port } = server;
    const large = `x-large: ${"a".repeat(20_000)}`;
    assert.equal(await ask(port, get("/healthz", large)), 413);
    assert.equal(await ask(port, get("/api/v2/sandboxes", bearer(server), large)), 413);
    // Not complete, and refused all the same.
    const started = performance.now();
    assert.equal(await ask(port, get("/healthz", large).slice(0, -2)), 431);
    assert.ok(performance.now() - started < 15_000);
    const config = `x-deno-sandbox-config: ${"A".repeat(400_000)}`;
    assert.equal(await ask(port, upgrade("/api/v3/sandboxes/create", bearer(server), config)), 400);
    assert.equal(await ask(port, upgrade("/api/v3/sandboxes/create", config)), 401);
    const endless = upgrade("/api/v3/sandboxes/create", `x-deno-sandbox-config: ${"A".repeat(600_000)}`);
    assert.equal(await ask(port, endless), 431);
    assert.equal(await ask(port, get("/healthz")), 200);
  });
});

test("few large heads are read at a time, and those of one address do not stop another's", async () => {
  await withServer({}, async (server) => {
    const { port } = server;
    const config = `x-deno-sandbox-config: ${"A".repeat(400_000)}`;
    const whole = upgrade("/api/v3/sandboxes/create", bearer(server), config);
    const half = whole.slice(0, 300_000);
    const slow = Array.from({ length: 100 }, () => rawClient(port, half, "127.0.0.2"));
    await sleep(500);
    const waiting = ask(port, whole, "127.0.0.2");
    assert.equal(await ask(port, whole, "127.0.0.3"), 400);
    // One that waits is read when another one ends.
    slow.forEach(({ socket }) => socket.destroy());
    assert.equal(await waiting, 400);
  });
});

test("requests that are pipelined are bounded, and are not mixed with a WebSocket", async () => {
  await withServer({}, async (server) => {
    const { port } = server;
    const one = `GET /api/v2/sandboxes HTTP/1.1\r\nhost: localhost\r\n${bearer(server)}\r\n\r\n`;
    const answers = async (requests: string) => {
      const { socket, ended } = rawClient(port, requests);
      setTimeout(() => socket.end(), 3_000);
      return (await ended).split("HTTP/1.1 ").length - 1;
    };
    assert.equal(await answers(one.repeat(20) + get("/healthz")), 21);
    assert.ok((await answers(one.repeat(400))) < 100);
    const mixed = await rawClient(port, one + upgrade("/api/v3/sandboxes/create", bearer(server))).ended;
    assert.equal(mixed, "");
  });
});

test("clients that disconnect while their token is looked up leave nothing behind", async () => {
  await withServer({}, async (server) => {
    const { port, url } = server;
    const requests = [get("/api/v2/sandboxes", bearer(server)), upgrade("/api/v3/sandboxes/create", bearer(server))];
    for (let round = 0; round < 100; round++) {
      const { socket, ended } = rawClient(port, requests[round % 2]!);
      setTimeout(() => socket.resetAndDestroy(), (round % 10) / 5);
      await ended;
    }
    await until(5_000, "no request", async () => {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return /^caisson_http_active 0$/m.test(metrics) || undefined;
    });
  });
});

test("only hosts of this server are served, and pages of other sites are refused", async () => {
  const config = { publicUrl: "https://caisson.example:8443", api: { hosts: ["other.example"] } };
  await withServer({ config }, async (server) => {
    const { port } = server;
    const get = (host: string, path: string) =>
      ask(port, `GET ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
    for (const path of ["/healthz", "/openapi.json"]) {
      for (const host of ["localhost", `127.0.0.1:${port}`, "[::1]:1", "Caisson.example", "other.example:80"])
        assert.equal(await get(host, path), 200, host);
      for (const host of ["evil.example", "caisson.example.evil.example", "127.0.0.2", "localhost.evil.example:8000"])
        assert.equal(await get(host, path), 403, host);
    }
    assert.equal(await ask(port, "GET /healthz HTTP/1.0\r\n\r\n"), 400);
    const authorization = bearer(server);
    const post = (origin: string) =>
      ask(
        port,
        `DELETE /api/v3/sandbox/sbx_ord_00000000000000000000 HTTP/1.1\r\nhost: localhost:${port}\r\n${authorization}\r\nconnection: close\r\n${origin}\r\n`,
      );
    const socket = (...origin: string[]) =>
      ask(
        port,
        upgrade("/api/v3/sandboxes/create", authorization, "x-deno-sandbox-config: e30=", ...origin).replace(
          "localhost",
          `localhost:${port}`,
        ),
      );
    for (const origin of [
      "https://evil.example",
      "null",
      `http://localhost:${port + 1}`,
      `https://localhost:${port}`,
      "http://caisson.example:8443",
    ]) {
      assert.equal(await post(`origin: ${origin}\r\n`), 403, origin);
      assert.equal(await socket(`origin: ${origin}`), 403, origin);
    }
    for (const origin of ["https://caisson.example:8443", `http://localhost:${port}`])
      assert.equal(await post(`origin: ${origin}\r\n`), 404, origin);
    assert.equal(await post(""), 404);
  });
});

test("metrics are for programs on this machine, or for who has the token", async () => {
  const metrics = (host: string, ...more: string[]) =>
    ["GET /metrics HTTP/1.1", `host: ${host}`, "connection: close", ...more, "", ""].join("\r\n");
  const token = "metrics-token-0123456789";
  await withServer({ config: { api: { metricsToken: token, hosts: ["caisson.example"] } } }, async (server) => {
    const { port } = server;
    assert.equal(await ask(port, metrics("localhost")), 200);
    assert.equal(await ask(port, metrics("caisson.example")), 401);
    assert.equal(await ask(port, metrics("localhost", "x-forwarded-for: 192.0.2.1")), 401);
    assert.equal(await ask(port, metrics("caisson.example", bearer(server))), 401);
    assert.equal(await ask(port, metrics("caisson.example", `authorization: Bearer ${token}`)), 200);
    assert.equal(await ask(port, metrics("evil.example")), 403);
  });
  await withServer({ host: "0.0.0.0" }, async ({ port, lines }) => {
    assert.equal(await ask(port, metrics("localhost")), 401);
    assert.ok(lines.some((line) => line.includes("listens without TLS")));
  });
});

test("what a client sends is cut and escaped in the log", async () => {
  await withServer({}, async ({ port, lines }) => {
    const long = "p".repeat(15_000);
    assert.equal(await ask(port, get(`/${long}%1b[31m`)), 404);
    assert.equal(await ask(port, get(`/%1b[31m%0d%e2%80%ae`)), 404);
    assert.equal(await ask(port, upgrade(`/${long}`)), 404);
    const ours = lines.filter((line) => line.includes('"path"'));
    assert.equal(ours.length, 3);
    for (const line of ours) assert.ok(line.length < 600, `${line.length}`);
    const { path } = JSON.parse(ours[1]!) as { path: string };
    assert.equal(path, "/\\u{1b}[31m\\u{d}\\u{202e}");
    const { refused } = JSON.parse(ours[2]!) as { refused: { code: string; message: string } };
    assert.equal(refused.code, "NOT_FOUND");
    assert.match(refused.message, /^No such WebSocket route: \/p+\.\.\. \(/);
  });
});
