/**
 * Idle and busy WebSockets of visitors to a program in a sandbox, on a whole platform: memory of the server's process and of the sandbox for
 * each, and how long a request to the API takes meanwhile. `node bench/websockets.ts [--idle 1000] [--busy 100] [--json]`
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform, until } from "@caisson/testing";
import { WebSocket } from "ws";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    idle: { type: "string", default: "1000" },
    busy: { type: "string", default: "100" },
    json: { type: "boolean" },
  },
});
const [idleCount, busyCount] = [Number(values.idle), Number(values.busy)];
/** Opened at the same time. */
const together = 20;
const program = `Deno.serve({ port: 8000 }, (request) => {
  if (request.headers.get("upgrade") === null) return new Response("ok");
  const { socket, response } = Deno.upgradeWebSocket(request, { idleTimeout: 0 });
  socket.onmessage = ({ data }) => socket.send(data);
  return response;
});`;

const total = idleCount + busyCount + together;
const platform = await startPlatform({
  config: {
    logLevel: "warn",
    pool: { size: 1 },
    gateway: {
      connectionsPerSandbox: 2 * total,
      connectionsPerAddress: 2 * total,
      handshakesPerAddress: 1e4,
      requestsPerAddress: 1e6,
      requestsPerSandbox: 1e6,
      visitsPerMinute: 0,
    },
  },
});
Object.assign(process.env, platform.env);

try {
  const sandbox = await Sandbox.create({ timeout: "30m", memory: "2GiB" });
  await sandbox.deno.run({ code: program, stdout: "null", stderr: "null" });
  const url = new URL(await sandbox.exposeHttp({ port: 8000 }));
  const { hostname: servername, host } = url;
  const options = { servername, headers: { host }, rejectUnauthorized: false, perMessageDeflate: false };
  const open = async (): Promise<WebSocket> => {
    const socket = new WebSocket(`wss://127.0.0.1:${url.port}/`, options);
    await once(socket, "open");
    return socket;
  };
  const openMany = async (count: number): Promise<WebSocket[]> => {
    const all: WebSocket[] = [];
    while (all.length < count)
      all.push(...(await Promise.all(Array.from({ length: Math.min(together, count - all.length) }, open))));
    return all;
  };
  const api = async (): Promise<number> => {
    const began = performance.now();
    const answer = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/api/v3/sandboxes/${sandbox.id}`, {
      headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
    });
    await answer.arrayBuffer();
    if (!answer.ok) throw new Error(`The API answered ${answer.status}.`);
    return performance.now() - began;
  };
  const latency = async () => {
    const samples: number[] = [];
    for (let index = 0; index < 200; index++) samples.push(await api());
    return quantiles(samples);
  };
  const kibibytes = (text: string, name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)![1]);
  const resident = async () => kibibytes(await readFile(`/proc/${platform.pid}/status`, "utf8"), "VmRSS");
  const available = async () => kibibytes(await sandbox.fs.readTextFile("/proc/meminfo"), "MemAvailable");
  /** Memory that was needed only to open connections is given back first. */
  const settled = async <T>(read: () => Promise<T>): Promise<T> => (await sleep(5_000), await read());

  await until(300_000, "the program", async () => {
    const first = await open().catch(() => undefined);
    first?.terminate();
    return first;
  });
  for (const socket of await openMany(together)) socket.terminate();
  await latency();
  const alone = await latency();
  const [server0, guest0] = [await settled(resident), await available()];
  await openMany(idleCount);
  const [server1, guest1] = [await settled(resident), await available()];
  const beside = await latency();
  let messages = 0;
  for (const socket of await openMany(busyCount)) {
    socket.on("message", () => {
      messages++;
      socket.send("x".repeat(200));
    });
    socket.send("x".repeat(200));
  }
  await settled(async () => undefined);
  const [began, before] = [performance.now(), messages];
  const busy = await latency();
  const rate = (messages - before) / ((performance.now() - began) / 1000);
  const [server2, guest2] = [await resident(), await available()];
  report({
    "idle WebSocket, KiB of the server": (server1 - server0) / idleCount,
    "idle WebSocket, KiB of the sandbox": (guest0 - guest1) / idleCount,
    "busy WebSocket, KiB of the server": (server2 - server1) / busyCount,
    "busy WebSocket, KiB of the sandbox": (guest1 - guest2) / busyCount,
    "API request, none, ms p50": alone.p50,
    "API request, none, ms p99": alone.p99,
    "API request, idle ones, ms p50": beside.p50,
    "API request, idle ones, ms p99": beside.p99,
    "API request, busy ones too, ms p50": busy.p50,
    "API request, busy ones too, ms p99": busy.p99,
    "messages a second of the busy ones": rate,
  });
  await sandbox.kill();
} finally {
  await platform.stop(30_000);
}
process.exit();
