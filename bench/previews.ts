/**
 * Idle and busy WebSockets through the gateway: memory of its process for each, and how long a small request takes meanwhile. The program
 * runs on the host, so that this measures the gateway and not an emulated guest. `node bench/previews.ts [--json]`
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { request } from "node:https";
import { connect, type AddressInfo } from "node:net";
import process from "node:process";
import { createGatewayAuthority } from "@caisson/egress";
import { createGateway } from "@caisson/gateway";
import { configSchema } from "@caisson/protocol";
import { pino } from "pino";
import { WebSocket, WebSocketServer } from "ws";
import { report } from "./report.ts";

const [idleCount, busyCount] = [1000, 100];
const name = "abc";

/** In a process of its own, so that its memory is the gateway's alone. */
async function serveGateway(inside: number): Promise<void> {
  const authority = await createGatewayAuthority(Buffer.alloc(32, 1));
  const limits = {
    connectionsPerSandbox: 4000,
    connectionsPerAddress: 4000,
    handshakesPerAddress: 1e4,
    requestsPerAddress: 1e6,
    requestsPerSandbox: 1e6,
  };
  const gateway = createGateway({
    config: configSchema.parse({ gateway: limits }).gateway,
    port: 0,
    issue: (hosts) => authority.issue(hosts),
    log: pino({ level: "silent" }),
  });
  const { signal } = new AbortController();
  await gateway.listen({
    find: async () => ({ workloadId: "bench", ended: signal, connect: async () => connect(inside, "127.0.0.1") }),
    known: async () => true,
  });
  // Also when the other one was interrupted.
  process.once("disconnect", () => process.exit());
  process.send!({ port: Number(gateway.addressOf(name).split(":")[1]) });
}

async function measure(): Promise<void> {
  const program = createServer((_, response) => response.end("ok"));
  const sockets = new WebSocketServer({ server: program, perMessageDeflate: false });
  sockets.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  program.listen(0, "127.0.0.1");
  await once(program, "listening");
  const child = fork(import.meta.filename, ["--gateway", String((program.address() as AddressInfo).port)], {
    execArgv: ["--max-semi-space-size=8", "--expose-gc"],
  });
  const [{ port }] = (await once(child, "message")) as [{ port: number }];
  const host = `${name}.localhost`;
  const trust = { servername: host, headers: { host }, rejectUnauthorized: false, perMessageDeflate: false };
  const open = async () => {
    const socket = new WebSocket(`wss://127.0.0.1:${port}/`, trust);
    await once(socket, "open");
    return socket;
  };
  const small = async () => {
    const began = performance.now();
    const sent = request({ host: "127.0.0.1", port, ...trust, agent: false, path: "/" }).end();
    const [response] = (await once(sent, "response")) as [NodeJS.ReadableStream];
    response.resume();
    await once(response, "end");
    return performance.now() - began;
  };
  const median = async () => {
    const all: number[] = [];
    for (let index = 0; index < 50; index++) all.push(await small());
    return all.toSorted((a, b) => a - b)[25]!;
  };
  const resident = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${child.pid}/status`, "utf8"))![1]);

  for (let index = 0; index < 20; index++) (await open()).terminate();
  const alone = await median();
  const empty = await resident();
  const all: WebSocket[] = [];
  while (all.length < idleCount) all.push(...(await Promise.all(Array.from({ length: 20 }, open))));
  const idle = await resident();
  const withIdle = await median();
  const busy: WebSocket[] = [];
  while (busy.length < busyCount) busy.push(...(await Promise.all(Array.from({ length: 20 }, open))));
  let messages = 0;
  for (const socket of busy) {
    socket.on("message", () => {
      messages++;
      socket.send("x".repeat(200));
    });
    socket.send("x".repeat(200));
  }
  const [began, before] = [performance.now(), messages];
  const withBusy = await median();
  const rate = (messages - before) / ((performance.now() - began) / 1000);
  const working = await resident();
  report({
    "idle WebSocket, KiB of the gateway": (idle - empty) / idleCount,
    "busy WebSocket, KiB of the gateway": (working - idle) / busyCount,
    "small request, idle ones / none": withIdle / alone,
    "small request, busy ones too / none": withBusy / alone,
    "messages a second of the busy ones": rate,
  });
  child.kill();
  process.exit(0);
}

const inside = process.argv[process.argv.indexOf("--gateway") + 1];
if (process.argv.includes("--gateway")) await serveGateway(Number(inside));
else await measure();
