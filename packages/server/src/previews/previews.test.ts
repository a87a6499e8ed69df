/** Names of exposed ports: REST and RPC over real sockets, with the real gateway, and the real agent as a process of this host. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingHttpHeaders } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createGatewayAuthority } from "@caisson/egress";
import { createGateway, createSshGateway } from "@caisson/gateway";
import { configSchema } from "@caisson/protocol";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { buildAgent, HostNode, WireClient, type ClientEnvironment } from "@caisson/testing";
import { pino } from "pino";
import { WebSocket } from "ws";
import { createServer, type CaissonServer } from "../index.ts";
import { openAccountOperator } from "../operator/index.ts";

let home: string;
let node: HostNode;
let server: CaissonServer;
let env: ClientEnvironment;
const key = randomBytes(32);
const log = pino({ level: "silent" });
const authority = await createGatewayAuthority(Buffer.alloc(32, 2));
const config = configSchema.parse({ gateway: { namesPerSandbox: 3, visitsPerMinute: 20 } });

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-previews-"));
  node = new HostNode(
    buildAgent(home),
    new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "volumes", "blobs"))),
  );
  server = await createServer({
    home,
    key,
    config,
    node,
    gateway: createGateway({ config: config.gateway, port: 0, issue: (hosts) => authority.issue(hosts), log }),
    ssh: createSshGateway({ host: "127.0.0.1", port: 0, publicHost: "127.0.0.1", seed: key, log }),
    log,
  });
  const { url } = await server.start({ host: "127.0.0.1", port: 0 });
  const { token, org } = server.development;
  env = { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: org };
});

after(async () => {
  await server.close("end");
  await node.close();
  await rm(home, { recursive: true });
});

const rest = (path: string, method = "GET", body?: unknown, token = env.DENO_DEPLOY_TOKEN) =>
  fetch(`${env.DENO_DEPLOY_ENDPOINT}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
const idOf = (client: WireClient) => String(client.headers["x-deno-sandbox-id"]);
const create = () => WireClient.open({ env, config: { stop_at_ms: Date.now() + 60_000 } });
const expose = (client: WireClient) => rest(`/api/v3/sandbox/${idOf(client)}/expose/http`, "POST");
const reserve = async (client: WireClient) => ((await (await expose(client)).json()) as { domain: string }).domain;

interface Program {
  readonly pid: number;
  readonly port: number;
}

/** A server inside that answers everything with `word`. */
async function serve(client: WireClient, word: string): Promise<Program> {
  const code = `const http = require("node:http"); http.createServer((_, answer) => answer.end("${word}")).listen(0, "127.0.0.1");`;
  const { pid } = (await client.ok("spawn", {
    command: process.execPath,
    args: ["-e", code],
    stdout: "null",
    stderr: "null",
  })) as { pid: number };
  const { port } = await node.machines.agent(idOf(client)).processes.waitListening({ pid }, { timeoutMs: 20_000 });
  return { pid, port };
}

interface Visited {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function visit(domain: string, path = "/", headers: Record<string, string> = {}): Promise<Visited> {
  const [host = "", port] = domain.split(":");
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        servername: host,
        rejectUnauthorized: false,
        agent: false,
        path,
        headers: { host: domain, ...headers },
      },
      (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => (body += text));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      },
    );
    sent.on("error", reject).end();
  });
}

test("a name leads nowhere, then to a port, then to a process, and the newest counts", async () => {
  const client = await create();
  const [one, other] = [await serve(client, "one"), await serve(client, "other")];
  const domain = await reserve(client);
  assert.match(domain, /^[a-z2-7]{32}\.localhost:\d+$/);
  assert.match((await visit(domain)).body, /no port is exposed at it yet/);
  assert.equal(await client.ok("exposeHttp", { domain, port: one.port }), null);
  assert.equal((await visit(domain)).body, "one");
  assert.equal(await client.ok("exposeHttp", { domain: domain.toUpperCase(), pid: other.pid }), null);
  assert.equal((await visit(domain)).body, "other");
  await client.ok("processKill", { pid: other.pid, signal: "SIGKILL" });
  await client.ok("processWait", { pid: other.pid });
  assert.match((await visit(domain)).body, /Process \d+ .* has ended/);
  await client.ok("exposeHttp", { domain, port: 1 });
  const nobody = await visit(domain);
  assert.equal(nobody.status, 502);
  assert.match(nobody.body, /Nothing listens on port 1 in the sandbox\. Start a program/);
  await rest(`/api/v3/sandbox/${idOf(client)}`, "DELETE");
});

test("only names of this very sandbox are bound, and each refusal says what to do", async () => {
  const [client, stranger] = [await create(), await create()];
  const [domain, foreign] = [await reserve(client), await reserve(stranger)];
  for (const wrong of [foreign, `${"a".repeat(32)}.localhost`, "localhost", "", "example.com"]) {
    const { result } = await client.call("exposeHttp", { domain: wrong, port: 80 });
    assert.equal(result?.error?.code, "NOT_FOUND", wrong);
    assert.match(result?.error?.message ?? "", /Reserve one with POST/);
  }
  for (const target of [
    {},
    { port: 0 },
    { port: 65_536 },
    { port: 1.5 },
    { port: "80" },
    { pid: -1 },
    { port: 80, pid: 1 },
  ])
    assert.equal((await client.call("exposeHttp", { domain, ...target })).error?.code, -32602, JSON.stringify(target));
  assert.match((await visit(foreign)).body, /no port is exposed at it yet/);
  assert.equal((await expose(client)).status, 200);
  assert.equal((await expose(client)).status, 200);
  const full = await expose(client);
  assert.deepEqual([full.status, ((await full.json()) as { code: string }).code], [429, "RESOURCE_EXHAUSTED"]);
  assert.equal((await rest("/api/v3/sandbox/sbx_ord_00000000000000000000/expose/http", "POST")).status, 404);
  await rest(`/api/v3/sandbox/${idOf(client)}`, "DELETE");
  assert.equal((await expose(client)).status, 410);
  const after = await visit(domain);
  assert.deepEqual([after.status, /has ended/.test(after.body)], [410, true]);
  assert.match((await visit(domain.replace(/^.{32}/, "a".repeat(32)))).body, /Nothing is exposed at this address/);
  await rest(`/api/v3/sandbox/${idOf(stranger)}`, "DELETE");
});

test("visits are counted", async () => {
  const client = await create();
  const { port } = await serve(client, "counted");
  const domain = await reserve(client);
  await client.ok("exposeHttp", { domain, port });
  await visit(domain);
  assert.match(
    await (await rest("/metrics")).text(),
    /^caisson_preview_visits_total\{kind="request",status="2xx"\} [1-9]/m,
  );
  await rest(`/api/v3/sandbox/${idOf(client)}`, "DELETE");
});

test("a protected address opens by a signed link, which becomes a cookie, or by a token of the organisation", async () => {
  const [client, stranger] = [await create(), await create()];
  const { port } = await serve(client, "protected");
  const path = `/api/v1/sandboxes/${idOf(client)}/previews`;
  const made = await rest(path, "POST", { port, protected: true });
  assert.equal(made.status, 201);
  const { address } = (await made.json()) as { address: string };
  assert.deepEqual(await (await rest(path)).json(), [{ address, port, protected: true }]);
  assert.deepEqual(
    [(await visit(address)).status, (await visit(address)).headers["caisson-gateway"]],
    [401, "access-needed"],
  );

  const signed = await rest(`${path}/${address}/links`, "POST", { expiresInSeconds: 60 });
  assert.equal(signed.status, 201);
  const { url } = (await signed.json()) as { url: string };
  const { search } = new URL(url);
  const opened = await visit(address, `/a?x=1&${search.slice(1)}`);
  assert.deepEqual([opened.status, opened.headers.location], [303, "/a?x=1"]);
  const cookie = opened.headers["set-cookie"]![0]!;
  assert.match(cookie, /^__Host-caisson-access=[^;]+; Path=\/; Max-Age=\d+; Secure; HttpOnly; SameSite=Lax$/);
  const held = cookie.split(";")[0]!;
  assert.equal((await visit(address, "/", { cookie: held })).body, "protected");
  const bearer = { "caisson-authorization": `Bearer ${env.DENO_DEPLOY_TOKEN}` };
  assert.equal((await visit(address, "/", bearer)).body, "protected");

  const refused: Record<string, string>[] = [
    { "caisson-authorization": "Bearer ddo_wrong" },
    { cookie: held.slice(0, -2) },
    { cookie: held, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors" },
    { cookie: held, "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe" },
    { cookie: held, origin: "https://neighbour.localhost" },
  ];
  for (const headers of refused) assert.ok((await visit(address, "/", headers)).status >= 401, JSON.stringify(headers));
  const followed = {
    cookie: held,
    "sec-fetch-site": "same-site",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
  };
  assert.equal((await visit(address, "/", followed)).body, "protected");
  // A link is for one address.
  const other = (await (
    await rest(`/api/v1/sandboxes/${idOf(stranger)}/previews`, "POST", { port, protected: true })
  ).json()) as { address: string };
  assert.equal((await visit(other.address, `/${search}`)).status, 403);
  assert.equal((await rest(`${path}/${other.address}/links`, "POST", {})).status, 404);
  for (const wrong of [{ port: 0 }, { port: "1" }, { port: 1, protected: "no" }, { port: 1, more: 1 }])
    assert.equal((await rest(path, "POST", wrong)).status, 400, JSON.stringify(wrong));

  // Protecting it again revokes.
  assert.equal((await rest(`${path}/${address}`, "PATCH", { protected: true })).status, 200);
  assert.equal((await visit(address, "/", { cookie: held })).status, 401);
  await rest(`${path}/${address}`, "PATCH", { protected: false });
  assert.equal((await visit(address)).body, "protected");
  assert.equal((await rest(`${path}/${address}/links`, "POST", {})).status, 409);
  for (const one of [client, stranger]) await rest(`/api/v3/sandbox/${idOf(one)}`, "DELETE");
});

test("another organisation has no way in by ids and addresses; their owner has each", async () => {
  const operator = await openAccountOperator({ home, log });
  await operator.accounts.createOrg("others");
  const { token } = await operator.accounts.createToken("others", "test");
  await operator.close();
  const client = await create();
  const { port } = await serve(client, "own");
  const [own, sandbox] = [`/api/v1/sandboxes/${idOf(client)}`, `/api/v3/sandbox/${idOf(client)}`];
  const made = await rest(`${own}/previews`, "POST", { port, protected: true });
  const { address } = (await made.json()) as { address: string };
  const opened = await rest(`${own}/terminals`, "POST", { command: "/bin/cat", args: [] });
  const terminal = `${own}/terminals/${((await opened.json()) as { id: string }).id}`;
  const attached = (by: string) =>
    new Promise<number>((resolve) => {
      const socket = new WebSocket(`${env.DENO_DEPLOY_ENDPOINT.replace(/^http/, "ws")}${terminal}/attach`, {
        headers: { authorization: `Bearer ${by}` },
      });
      socket.once("upgrade", ({ statusCode = 0 }) => resolve(statusCode));
      socket.once("unexpected-response", (_, { statusCode = 0 }) => resolve(statusCode));
      socket.on("error", () => undefined);
      socket.once("open", () => socket.terminate());
    });
  const ways: readonly [number, string, string, unknown?][] = [
    [200, "GET", `${own}/previews`],
    [201, "POST", `${own}/previews/${address}/links`, {}],
    [200, "PATCH", `${own}/previews/${address}`, { protected: true }],
    [200, "GET", `${own}/visits`],
    [201, "POST", `${own}/previews`, { port: 1 }],
    [200, "POST", `${sandbox}/expose/http`],
    [200, "POST", `${sandbox}/expose/ssh`],
    [200, "GET", `${own}/terminals`],
    [201, "POST", `${own}/terminals`, { command: "/bin/cat", args: [] }],
    [204, "DELETE", terminal],
    [204, "DELETE", sandbox],
  ];
  for (const [, method, path, body] of ways)
    assert.equal((await rest(path, method, body, token)).status, 404, `${method} ${path}`);
  assert.equal((await rest(`${sandbox}/expose/vscode`, "POST", undefined, token)).status, 404);
  assert.equal(await attached(token), 404);
  const bearer = (by: string) => ({ "caisson-authorization": `Bearer ${by}` });
  assert.equal((await visit(address, "/", bearer(token))).status, 403);

  assert.equal((await visit(address, "/", bearer(env.DENO_DEPLOY_TOKEN))).body, "own");
  assert.equal(await attached(env.DENO_DEPLOY_TOKEN), 101);
  for (const [status, method, path, body] of ways)
    assert.equal((await rest(path, method, body)).status, status, `${method} ${path}`);
});

test("a WebSocket leads to a program, and leaves no warning of Node.js outside the log", async (t) => {
  const warnings: Error[] = [];
  const warned = (warning: Error) => void warnings.push(warning);
  process.on("warning", warned);
  t.after(() => process.off("warning", warned));
  const client = await create();
  const code = `import { WebSocketServer } from ${JSON.stringify(import.meta.resolve("ws"))};
    new WebSocketServer({ port: 0, host: "127.0.0.1" }).on("connection", (one) => one.on("message", (data) => one.send(data)));`;
  const { pid } = (await client.ok("spawn", {
    command: process.execPath,
    args: ["--input-type=module", "-e", code],
    stdout: "null",
    stderr: "null",
  })) as { pid: number };
  await node.machines.agent(idOf(client)).processes.waitListening({ pid }, { timeoutMs: 60_000 });
  const domain = await reserve(client);
  await client.ok("exposeHttp", { domain, pid });
  const [servername, port] = domain.split(":");
  const options = { servername, headers: { host: domain }, rejectUnauthorized: false };
  const socket = new WebSocket(`wss://127.0.0.1:${port}/`, options);
  await once(socket, "open");
  socket.send("there and back");
  const [data] = (await once(socket, "message")) as [Buffer];
  assert.equal(String(data), "there and back");
  socket.close();
  await once(socket, "close");
  assert.deepEqual(warnings, []);
  await rest(`/api/v3/sandbox/${idOf(client)}`, "DELETE");
});

test("a link ends with its time", async () => {
  const client = await create();
  const path = `/api/v1/sandboxes/${idOf(client)}/previews`;
  const { address } = (await (await rest(path, "POST", { port: 1, protected: true })).json()) as { address: string };
  const { url } = (await (await rest(`${path}/${address}/links`, "POST", { expiresInSeconds: 1 })).json()) as {
    url: string;
  };
  await sleep(1_100);
  assert.equal((await visit(address, `/${new URL(url).search}`)).status, 403);
  await rest(`/api/v3/sandbox/${idOf(client)}`, "DELETE");
});

test("visits are recorded without queries and tokens, in pages, with a bound, and outlive their sandbox", async () => {
  const client = await create();
  const { port } = await serve(client, "logged");
  const domain = await reserve(client);
  await client.ok("exposeHttp", { domain, port });
  for (let index = 0; index < 25; index++) await visit(domain, `/p${index}?secret=1`);
  await client.ok("exposeHttp", { domain, port: 1 });
  const path = `/api/v1/sandboxes/${idOf(client)}/visits`;
  interface Logged {
    readonly path: string;
    readonly status: number;
    readonly visitor: string;
  }
  let page = (await (await rest(path)).json()) as Logged[];
  // `visitsPerMinute` is 20 here.
  assert.equal(page.length, 20);
  assert.deepEqual([page[0]!.path, page[0]!.status, page[0]!.visitor], ["/p19", 200, "127.0.0.1"]);
  assert.ok(!JSON.stringify(page).includes("secret"));
  const first = await rest(`${path}?limit=15`);
  page = (await first.json()) as Logged[];
  const next = /<([^>]+)>/.exec(first.headers.get("link")!)![1]!;
  const second = (await (await rest(new URL(next).pathname + new URL(next).search)).json()) as Logged[];
  assert.deepEqual([page.length, second.length, second.at(-1)!.path], [15, 5, "/p0"]);
  assert.equal((await rest(`${path}?cursor=%00`)).status, 400);
  await rest(`/api/v3/sandbox/${idOf(client)}`, "DELETE");
  assert.equal(((await (await rest(path)).json()) as unknown[]).length, 20);
  assert.equal((await rest("/api/v1/sandboxes/sbx_ord_00000000000000000000/visits")).status, 404);
});
