/** The whole control plane over real sockets, with the real agent as a process of this host in place of a machine. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { configSchema, type EgressEvent } from "@caisson/protocol";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { buildAgent, HostNode, UpgradeRefused, WireClient, type ClientEnvironment } from "@caisson/testing";
import { pino } from "pino";
import { createServer, type CaissonServer } from "./index.ts";

let home: string;
let node: HostNode;
let server: CaissonServer;
let url: string;
let env: ClientEnvironment;
const key = randomBytes(32);
const lines: string[] = [];
const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });
const config = configSchema.parse({ sandbox: { sessionGrace: 2 }, limits: { developmentConcurrentSandboxes: 6 } });

async function start(): Promise<void> {
  server = await createServer({
    home,
    key,
    config,
    node,
    log,
  });
  ({ url } = await server.start({ host: "127.0.0.1", port: 0 }));
  const { token, org } = server.development;
  env = { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: org };
}

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-server-"));
  node = new HostNode(
    buildAgent(home),
    new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "volumes", "blobs"))),
  );
  await start();
});

after(async () => {
  await server.close("end");
  await node.close();
  await rm(home, { recursive: true });
});

function rest(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}`, ...(init.headers as Record<string, string>) },
  });
}

const idOf = (client: WireClient) => String(client.headers["x-deno-sandbox-id"]);
const minute = () => ({ stop_at_ms: Date.now() + 60_000 });
const kill = (client: WireClient) => rest(`/api/v3/sandbox/${idOf(client)}`, { method: "DELETE" });

async function statusOf(id: string): Promise<{ status: string; stoppedAt: string | null } | undefined> {
  const list = (await (await rest("/api/v2/sandboxes")).json()) as {
    id: string;
    status: string;
    stoppedAt: string | null;
  }[];
  return list.find((item) => item.id === id);
}

async function until(what: string, condition: () => Promise<boolean> | boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !(await condition()); await sleep(20)) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`);
  }
}

test("every answer has a trace id and errors are JSON, whatever was wrong", async () => {
  const answers = [
    await fetch(`${url}/api/v2/sandboxes`),
    await rest("/nowhere"),
    await rest("/api/v3/sandbox/sbx_ord_00000000000000000000", { method: "DELETE" }),
    await rest("/api/v3/sandbox/x", { method: "PATCH", body: "{" }),
    await rest("/api/v2/sandboxes?limit=x"),
    await rest("/api/v2/sandboxes", { headers: { "x-deno-org": "another" } }),
  ];
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [401, 404, 404, 400, 400, 403],
  );
  for (const answer of answers) {
    assert.match(answer.headers.get("x-deno-trace-id") ?? "", /^[0-9a-f]{32}$/);
    const body = (await answer.json()) as Record<string, unknown>;
    assert.deepEqual([typeof body["code"], typeof body["message"]], ["string", "string"]);
  }
});

test("health, metrics and the interface description need no token", async () => {
  assert.equal(((await (await fetch(`${url}/healthz`)).json()) as { status: string }).status, "ok");
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^caisson_sandboxes \d+$/m);
  const document = (await (await fetch(`${url}/openapi.json`)).json()) as {
    openapi: string;
    components: { schemas: Record<string, unknown> };
  };
  assert.equal(document.openapi, "3.1.0");
  const references = [...JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g)].map((match) => match[1]!);
  assert.ok(
    references.length > 0 && references.every((name) => name in document.components.schemas),
    references.join(),
  );
});

test("an offer of h2c on REST is not taken for a WebSocket", async () => {
  const answer = await new Promise<string>((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname, () =>
      socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade, close\r\nupgrade: h2c\r\n\r\n"),
    );
    socket.once("data", (data: Buffer) => resolve(data.toString("latin1").split("\r\n")[0]!));
    socket.once("error", reject);
  });
  assert.equal(answer, "HTTP/1.1 200 OK");
});

test("a session ends with the socket that made it, whatever others do, and can then not be connected to", async () => {
  const primary = await WireClient.open({ env, config: {} });
  const id = idOf(primary);
  const second = await WireClient.open({ env, id });
  assert.equal(typeof (await second.ok("envGet", { key: "DENO_DEPLOY_ORGANIZATION_ID" })), "string");
  primary.socket.terminate();
  await second.closed;
  await until("stopped", async () => (await statusOf(id))?.status === "stopped");
  await assert.rejects(
    WireClient.open({ env, id }),
    (error) => error instanceof UpgradeRefused && error.status === 410 && /has ended: session ended/.test(error.body),
  );
});

test("a primary that goes silent without closing counts as gone", async () => {
  const primary = await WireClient.open({ env, config: {} });
  const id = idOf(primary);
  // Nothing is read, so no ping is answered: as a machine that lost its network.
  primary.socket.pause();
  await until("stopped", async () => (await statusOf(id))?.status === "stopped");
  primary.socket.terminate();
});

test("a duration outlives its sockets and ends on time", async () => {
  const primary = await WireClient.open({ env, config: { timeout: "2s" } });
  const id = idOf(primary);
  await primary.close();
  const again = await WireClient.open({ env, id });
  assert.equal((await again.closed).code, 1001);
  await until("stopped", async () => (await statusOf(id))?.stoppedAt !== null);
});

test("a clock that is set by an hour ends nothing early and keeps nothing alive", async () => {
  const hour = 3_600_000;
  const { now } = Date;
  const open = (timeout: string) => WireClient.open({ env, config: { timeout } });
  try {
    const lasting = await open("5s");
    const short = await open("2s");
    Date.now = () => now() + hour;
    // Several sweeps.
    await sleep(1200);
    assert.deepEqual(
      [(await statusOf(idOf(lasting)))?.status, (await statusOf(idOf(short)))?.status],
      ["running", "running"],
    );
    Date.now = () => now() - hour;
    const began = performance.now();
    while ((await statusOf(idOf(short)))?.status === "running" && performance.now() - began < 5000) await sleep(50);
    assert.equal((await statusOf(idOf(short)))?.status, "stopped");
    assert.equal((await statusOf(idOf(lasting)))?.status, "running");
    // A new end counts from the clock as it is now.
    const extended = await rest(`/api/v3/sandbox/${idOf(lasting)}`, {
      method: "PATCH",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ stop_at_ms: Date.now() + 1500 }),
    });
    assert.equal(extended.status, 200);
    Date.now = now;
    const left = performance.now();
    while ((await statusOf(idOf(lasting)))?.status === "running" && performance.now() - left < 5000) await sleep(50);
    assert.ok(performance.now() - left < 3500 && performance.now() - left > 1000);
  } finally {
    Date.now = now;
  }
});

test("extending is granted up to the limit, refused beyond, and refused after the end", async () => {
  const client = await WireClient.open({ env, config: minute() });
  const path = `/api/v3/sandbox/${idOf(client)}`;
  const patch = (stop_at_ms: unknown) => rest(path, { method: "PATCH", body: JSON.stringify({ stop_at_ms }) });
  const wanted = Date.now() + 10 * 60_000;
  assert.deepEqual(await (await patch(wanted)).json(), { stop_at_ms: wanted });
  const refused = await Promise.all([Date.now() + 3600_000, 5, "x", null].map((value) => patch(value)));
  assert.deepEqual(
    refused.map((answer) => answer.status),
    [400, 400, 400, 400],
  );
  assert.equal((await kill(client)).status, 204);
  assert.equal((await client.closed).code, 1000);
  assert.equal((await patch(wanted)).status, 410);
  // Ending what has ended is fine, by either client's path.
  assert.equal((await rest(path.replace("sandbox/", "sandboxes/"), { method: "DELETE" })).status, 204);
});

test("creates beyond the limit of an organisation are refused before the upgrade", async () => {
  const outcomes = await Promise.allSettled(
    Array.from({ length: 9 }, () => WireClient.open({ env, config: minute() })),
  );
  const clients = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
  const refused = outcomes.flatMap((outcome) =>
    outcome.status === "rejected" ? [outcome.reason as UpgradeRefused] : [],
  );
  await Promise.all(clients.map(kill));
  assert.equal(clients.length, 6);
  assert.ok(refused.every((error) => error.status === 429 && error.body.includes("SANDBOX_LIMIT_REACHED")));
});

test("lists page by link, and both clients' label filters hold", async () => {
  const client = await WireClient.open({ env, config: { ...minute(), labels: { mark: "it's" } } });
  for (const query of [
    "/api/v2/sandboxes?labels[mark]=it%27s",
    `/api/v3/sandboxes?${new URLSearchParams({ labels: `{'mark': "it's"}` }).toString()}`,
  ]) {
    const list = (await (await rest(query)).json()) as { id: string }[];
    assert.deepEqual(
      list.map(({ id }) => id),
      [idOf(client)],
    );
  }
  await kill(client);
  const all = (await (await rest("/api/v3/sandboxes")).json()) as { id: string }[];
  const paged: { id: string }[] = [];
  for (let path: string | undefined = "/api/v3/sandboxes?limit=2"; path !== undefined;) {
    const answer = await rest(path);
    paged.push(...((await answer.json()) as { id: string }[]));
    path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get("link") ?? "")?.[1]?.slice(url.length);
  }
  assert.deepEqual(paged, all);
});

test("a secret is a placeholder inside; its value is in no log and in no answer", async () => {
  const client = await WireClient.open({
    env,
    config: { ...minute(), secrets: { API_KEY: { hosts: ["api.example"], value: "hunter2-value" } } },
  });
  assert.match(String(await client.ok("envGet", { key: "API_KEY" })), /^caisson-secret-api-key-[0-9A-Za-z]{32}$/);
  await kill(client);
  assert.ok(!lines.some((line) => line.includes("hunter2") || line.includes(env.DENO_DEPLOY_TOKEN)));
});

test("what a sandbox tried to reach is found in the log of its organisation, and streamed live", async () => {
  const client = await WireClient.open({ env, config: minute() });
  const sandboxId = idOf(client);
  const abort = new AbortController();
  const live = await rest(`/api/v1/audit/stream?sandbox=${sandboxId}&verdict=refused`, { signal: abort.signal });
  const reader = live.body!.pipeThrough(new TextDecoderStream()).getReader();
  assert.match((await reader.read()).value!, /^: open/);
  const event = (host: string, verdict: EgressEvent["verdict"]): EgressEvent => {
    return {
      kind: "connection",
      at: Date.now(),
      sandboxId,
      connection: "1",
      host,
      port: 443,
      protocol: "tls",
      verdict,
      rule: "r",
      bytesOut: 0,
      bytesIn: 0,
      durationMs: 1,
    };
  };
  node.emit(event("good.example", "allowed"));
  node.emit(event("evil.example", "refused"));
  node.emit({ ...event("evil.example", "refused"), sandboxId: "sbx_ord_00000000000000000000" });
  const data = /^data: (.*)$/m.exec((await reader.read()).value!)![1]!;
  assert.equal((JSON.parse(data) as EgressEvent).host, "evil.example");
  abort.abort();
  const hosts = async (answer: Response) => ((await answer.json()) as EgressEvent[]).map(({ host }) => host);
  assert.deepEqual(await hosts(await rest(`/api/v1/audit?sandbox=${sandboxId}`)), ["evil.example", "good.example"]);
  const page = await rest(`/api/v1/audit?sandbox=${sandboxId}&limit=1`);
  const next = /^<([^>]+)>/.exec(page.headers.get("link") ?? "")![1]!;
  assert.deepEqual(await hosts(await rest(next.slice(url.length))), ["good.example"]);
  assert.equal((await rest("/api/v1/audit?verdict=nonsense")).status, 400);
  await kill(client);
});

test("a machine that dies by itself ends its sandbox and its connections", async () => {
  const client = await WireClient.open({ env, config: minute() });
  const id = idOf(client);
  await node.machines.stop(id);
  assert.equal((await client.closed).code, 1011);
  await until("stopped", async () => (await statusOf(id))?.status === "stopped");
});

test("input that nobody reads does not stop the connection for good", async () => {
  const client = await WireClient.open({ env, config: minute() });
  client.notify("$sandbox.stream.start", { streamId: 1 });
  const { pid } = (await client.ok("spawn", {
    command: "sleep",
    args: ["600"],
    stdinStreamId: 1,
    stdout: "null",
    stderr: "null",
  })) as { pid: number };
  const data = Buffer.alloc(512 * 1024).toString("base64");
  for (let sent = 0; sent < 30; sent++) client.notify("$sandbox.stream.enqueue", { streamId: 1, data });
  await client.ok("processKill", { pid, signal: "SIGKILL" });
  assert.equal(((await client.ok("processWait", { pid })) as { signal: string }).signal, "SIGKILL");
  await kill(client);
});

test("bulk output does not keep replies waiting", async () => {
  const client = await WireClient.open({ env, config: minute() });
  const args = ["-c", "30000000", "/dev/zero"];
  const { pid } = (await client.ok("spawn", { command: "head", args, stdout: "piped", stderr: "null" })) as {
    pid: number;
  };
  const waiting = client.ok("processWait", { pid });
  let longest = 0;
  for (let calls = 0; calls < 20; calls++) {
    const asked = performance.now();
    await client.ok("envGet", { key: "HOME" });
    longest = Math.max(longest, performance.now() - asked);
  }
  await waiting;
  assert.ok(longest < 2000, `${longest} ms`);
  await kill(client);
});

test("the server ends in a moment, whatever its clients do", async () => {
  const deaf = await WireClient.open({ env, config: minute() });
  deaf.socket.pause();
  const started = performance.now();
  await Promise.all([server.close("end"), WireClient.open({ env, config: minute() }).catch(() => undefined)]);
  assert.ok(performance.now() - started < 15_000);
  assert.deepEqual(await node.machines.list(), []);
  deaf.socket.terminate();
  await start();
});

test("after a restart with the same state, tokens hold and what ran as a session is over", async () => {
  const session = await WireClient.open({ env, config: {} });
  const id = idOf(session);
  const token = env.DENO_DEPLOY_TOKEN;
  await server.close("end");
  assert.equal((await session.closed).code, 1001);
  await start();
  assert.equal(env.DENO_DEPLOY_TOKEN, token);
  assert.equal((await statusOf(id))?.status, "stopped");
});
