/** Names of exposed ports: REST and RPC over real sockets, with the real gateway, and the real agent as a process of this host. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createGatewayAuthority } from "@caisson/egress";
import { createGateway } from "@caisson/gateway";
import { configSchema } from "@caisson/protocol";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { buildAgent, HostNode, WireClient, type ClientEnvironment } from "@caisson/testing";
import { pino } from "pino";
import { createServer, type CaissonServer } from "../index.ts";

let home: string;
let node: HostNode;
let server: CaissonServer;
let env: ClientEnvironment;
const key = randomBytes(32);
const log = pino({ level: "silent" });
const authority = await createGatewayAuthority(Buffer.alloc(32, 2));
const config = configSchema.parse({ gateway: { namesPerSandbox: 3 } });

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

const rest = (path: string, method = "GET") =>
  fetch(`${env.DENO_DEPLOY_ENDPOINT}${path}`, {
    method,
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
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

function visit(domain: string): Promise<{ status: number; body: string }> {
  const [host = "", port] = domain.split(":");
  return new Promise((resolve, reject) => {
    const sent = request(
      { host: "127.0.0.1", port, servername: host, rejectUnauthorized: false, agent: false, headers: { host: domain } },
      (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => (body += text));
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
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
  assert.match((await visit(domain)).body, /Nothing is exposed at this address/);
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
