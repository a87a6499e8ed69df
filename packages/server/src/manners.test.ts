/** What HTTP says of refusals, where programs rely on it: methods, upgrades, credentials, cursors, numbers. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { openBareServer, rawClient } from "./testing/bare-server.ts";

const server = await openBareServer();
after(() => server.close());
const token = { authorization: `Bearer ${server.server.development.token}` };
const ask = (path: string, init: RequestInit = {}) => fetch(`${server.url}${path}`, { headers: token, ...init });
const codeOf = async (answer: Response) => ((await answer.json()) as { code: string }).code;

test("a path with another method answers 405 and names its methods", async () => {
  const id = "sbx_ord_00000000000000000000";
  const cases = [
    ["POST", "/api/v2/sandboxes", "GET, HEAD"],
    ["PUT", `/api/v3/sandbox/${id}`, "DELETE, PATCH"],
    ["GET", `/api/v3/sandboxes/${id}`, "DELETE, PATCH"],
    ["POST", "/api/v3/sandboxes/create", "DELETE, GET, HEAD, PATCH"],
    ["DELETE", "/api/v2/volumes", "GET, HEAD, POST"],
    ["POST", "/healthz", "GET, HEAD"],
  ] as const;
  for (const [method, path, allow] of cases) {
    const answer = await ask(path, { method });
    assert.deepEqual([answer.status, answer.headers.get("allow")], [405, allow], `${method} ${path}`);
    assert.equal(await codeOf(answer), "METHOD_NOT_ALLOWED");
  }
  for (const path of ["/api/v2/nowhere", "/api/v3/sandbox", "/nowhere", `/api/v3/sandbox/${id}/else`])
    assert.equal((await ask(path, { method: "POST" })).status, 404, path);
  // Whoever has no token learns nothing about paths.
  assert.equal((await ask("/api/v2/sandboxes", { method: "POST", headers: {} })).status, 401);
});

test("a WebSocket path without an upgrade answers 426 and names the protocol", async () => {
  for (const path of [
    "/api/v3/sandboxes/create",
    "/api/v3/sandbox/x/connect",
    "/api/v3/sandboxes/x/connect",
    "/api/v1/sandboxes/x/terminals/y/attach",
  ]) {
    const answer = await ask(path);
    assert.deepEqual([answer.status, answer.headers.get("upgrade")], [426, "websocket"], path);
    assert.equal(await codeOf(answer), "UPGRADE_REQUIRED");
  }
});

test("401 names the scheme, over REST and before an upgrade", async () => {
  const websocket = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13" };
  for (const headers of [{}, { authorization: "Bearer ddo_x" }, { authorization: "Basic eDp5" }]) {
    for (const path of ["/api/v2/sandboxes", "/api/v1/audit", "/api/v3/sandboxes/create"]) {
      const answer = await ask(path, { headers });
      assert.deepEqual([answer.status, answer.headers.get("www-authenticate")], [401, 'Bearer realm="caisson"'], path);
    }
  }
  const head = Object.entries({ host: "localhost", ...websocket, "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==" });
  const lines = ["GET /api/v3/sandboxes/create HTTP/1.1", ...head.map(([name, value]) => `${name}: ${value}`), "", ""];
  const client = rawClient(server.port, lines.join("\r\n"));
  const answer = await client.ended;
  client.socket.destroy();
  assert.match(answer, /^HTTP\/1\.1 401 /);
  assert.match(answer, /^www-authenticate: Bearer realm="caisson"\r$/m);
});

test("cursors and limits that this server never gave are refused on every list", async () => {
  for (const list of [
    "/api/v2/sandboxes",
    "/api/v3/sandboxes",
    "/api/v2/volumes",
    "/api/v2/snapshots",
    "/api/v1/audit",
  ]) {
    for (const query of [
      "cursor=x",
      "cursor=%27%20or%201",
      "limit=1e2",
      "limit=0x1",
      "limit=%201",
      "limit=0",
      "limit=-1",
    ]) {
      const answer = await ask(`${list}?${query}`);
      assert.equal(answer.status, 400, `${list}?${query}`);
      assert.equal(await codeOf(answer), "INVALID_ARGUMENT");
    }
    assert.equal((await ask(`${list}?limit=007`)).status, 200);
    assert.equal((await ask(`${list}?limit=99999999`)).status, 200);
  }
});
