/**
 * Idle and busy WebSockets of visitors, with API and gateway in one process as on a node: memory of that process for each, and how long a
 * request to the API takes meanwhile. The agent runs as a process of this host, so that this measures the server and not an emulated guest.
 * `node bench/websockets.ts [--json]`
 */
import { fork } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { createGatewayAuthority } from "@caisson/egress";
import { createGateway } from "@caisson/gateway";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { configSchema } from "@caisson/protocol";
import { createServer } from "@caisson/server";
import { buildAgent, HostNode, until, WireClient, type ClientEnvironment } from "@caisson/testing";
import { pino } from "pino";
import { WebSocket } from "ws";
import { quantiles, report } from "./report.ts";

const [idleCount, busyCount] = [1000, 100];
/** Opened at the same time. */
const together = 20;

interface Started {
  readonly env: ClientEnvironment;
  readonly gatewayPort: number;
}

/** In a process of its own, whose memory is measured. */
async function serve(): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), "caisson-bench-"));
  const config = configSchema.parse({
    gateway: {
      connectionsPerSandbox: 4000,
      connectionsPerAddress: 4000,
      handshakesPerAddress: 1e4,
      requestsPerAddress: 1e6,
      requestsPerSandbox: 1e6,
    },
  });
  const key = randomBytes(32);
  const log = pino({ level: "silent" });
  const authority = await createGatewayAuthority(key);
  const gateway = createGateway({ config: config.gateway, port: 0, issue: (hosts) => authority.issue(hosts), log });
  const layers = new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "blobs")));
  const node = new HostNode(buildAgent(home), layers);
  const server = await createServer({ home, key, config, node, gateway, log });
  const { url } = await server.start({ host: "127.0.0.1", port: 0 });
  const { token, org } = server.development;
  const env = { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: org };
  // Also when the other one was interrupted.
  process.once("disconnect", () => {
    void server
      .close("end")
      .then(() => node.close())
      .then(() => rm(home, { recursive: true }))
      .finally(() => process.exit());
  });
  process.send!({ env, gatewayPort: Number(gateway.addressOf("x").split(":")[1]) } satisfies Started);
}

const program = `import { createServer } from "node:http";
import { WebSocketServer } from "ws";
const server = createServer((_, answer) => answer.end("ok"));
new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (one) => one.on("message", (data) => one.send(data)));
server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;

async function measure(): Promise<void> {
  const child = fork(import.meta.filename, ["--serve"], { execArgv: ["--max-semi-space-size=8"] });
  const [{ env, gatewayPort }] = (await once(child, "message")) as [Started];
  const call = async (path: string, method = "GET"): Promise<unknown> => {
    const headers = { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` };
    const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}${path}`, { method, headers });
    if (!answer.ok) throw new Error(`${method} ${path} was answered with ${answer.status}.`);
    return answer.json();
  };
  const client = await WireClient.open({ env, config: { stop_at_ms: Date.now() + 25 * 60_000 } });
  const id = String(client.headers["x-deno-sandbox-id"]);
  const { domain } = (await call(`/api/v3/sandbox/${id}/expose/http`, "POST")) as { domain: string };
  const { pid } = (await client.ok("spawn", {
    command: process.execPath,
    args: ["--input-type=module", "-e", program],
    cwd: process.cwd(),
    stdout: "null",
    stderr: "null",
  })) as { pid: number };
  await client.ok("exposeHttp", { domain, pid });

  const [servername] = domain.split(":");
  const options = { servername, headers: { host: domain }, rejectUnauthorized: false, perMessageDeflate: false };
  const open = async (): Promise<WebSocket> => {
    const socket = new WebSocket(`wss://127.0.0.1:${gatewayPort}/`, options);
    await once(socket, "open");
    return socket;
  };
  const openMany = async (count: number): Promise<WebSocket[]> => {
    const all: WebSocket[] = [];
    while (all.length < count)
      all.push(...(await Promise.all(Array.from({ length: Math.min(together, count - all.length) }, open))));
    return all;
  };
  const latency = async () => {
    const samples: number[] = [];
    for (let index = 0; index < 200; index++) {
      const began = performance.now();
      await call("/api/v3/sandboxes");
      samples.push(performance.now() - began);
    }
    return quantiles(samples);
  };
  const resident = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${child.pid}/status`, "utf8"))![1]);

  await until(60_000, "the program", async () => {
    const first = await open().catch(() => undefined);
    first?.terminate();
    return first;
  });
  for (const socket of await openMany(together)) socket.terminate();
  await latency();
  const alone = await latency();
  const empty = await resident();
  await openMany(idleCount);
  const idle = await resident();
  const beside = await latency();
  let messages = 0;
  for (const socket of await openMany(busyCount)) {
    socket.on("message", () => {
      messages++;
      socket.send("x".repeat(200));
    });
    socket.send("x".repeat(200));
  }
  await sleep(2_000);
  const [began, before] = [performance.now(), messages];
  const busy = await latency();
  const rate = (messages - before) / ((performance.now() - began) / 1000);
  const working = await resident();
  report({
    "idle WebSocket, KiB of the server": (idle - empty) / idleCount,
    "busy WebSocket, KiB of the server": (working - idle) / busyCount,
    "API request, none, ms p50": alone.p50,
    "API request, none, ms p99": alone.p99,
    "API request, idle ones, ms p50": beside.p50,
    "API request, idle ones, ms p99": beside.p99,
    "API request, busy ones too, ms p50": busy.p50,
    "API request, busy ones too, ms p99": busy.p99,
    "messages a second of the busy ones": rate,
  });
  child.disconnect();
  await once(child, "exit");
  process.exit();
}

if (process.argv.includes("--serve")) await serve();
else await measure();
