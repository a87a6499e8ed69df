/** More than a client or a guest should ask for. The server must stay small, answer others, and go on. */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { WireClient } from "@caisson/testing";
import type { Random } from "../random.ts";
import type { World } from "../world/world.ts";
import { always, type Fault, type Injected } from "./fault.ts";

/** A session of the flood's own, which ends with its connection. Refused when the organisation is at its limit. */
export function flooding(what: string, flood: (client: WireClient, random: Random) => Promise<string>): Fault {
  return {
    name: `flood-${what}`,
    touches: ["memory", "server", "database"],
    hold: [500, 2000],
    available: always,
    async inject(world, random): Promise<Injected> {
      const opened = await WireClient.open({ env: world.env, config: { memory_mb: 768, volumes: [] } }).catch(String);
      // Beside a full disk nobody gets a sandbox.
      if (typeof opened === "string") return { detail: `no sandbox for it: ${opened}`, heal: () => Promise.resolve() };
      const client = opened;
      const detail = await flood(client, random);
      return { detail, heal: () => Promise.resolve(client.socket.terminate()) };
    },
  };
}

/** One frame whose every element is wrong. */
export const floodFrames = flooding("frames", async (client, random) => {
  const megabytes = random.int(1, 20);
  const elements = "1,".repeat(megabytes * 500_000);
  client.sendText(`{"jsonrpc":"2.0","id":1,"method":"spawn","params":{"command":"x","args":[${elements}1]}}`);
  return `a frame of ${megabytes} MB`;
});

/** Answers that nobody reads. */
export const floodCalls = flooding("calls", async (client, random) => {
  const calls = random.int(10, 60);
  await client.ok("spawn", { command: "sh", args: ["-c", "head -c 30000000 /dev/zero > /tmp/big"] });
  await sleep(700);
  client.socket.pause();
  for (let left = calls; left > 0; left--) client.request("readFile", { path: "/tmp/big" });
  return `${calls} calls of readFile, 30 MB each`;
});

/** Refused connections, each of which is recorded. */
export const floodAudit = flooding("audit", async (client) => {
  const script = "for j in 1 2 3 4; do (while :; do (exec 3<>/dev/tcp/refused.test/80); done) 2>/dev/null & done; wait";
  await client.ok("spawn", { command: "bash", args: ["-c", script] });
  return "refused connections from four loops";
});

function socketsTo({ ports }: World, count: number, text: string): Promise<readonly Socket[]> {
  const open = () =>
    new Promise<Socket>((resolve) => {
      const socket = connect({ port: ports.api, host: "127.0.0.1", allowHalfOpen: true }, () => {
        socket.write(text);
        resolve(socket);
      });
      socket.on("error", () => resolve(socket));
      socket.resume();
    });
  return Promise.all(Array.from({ length: count }, open));
}

/** Upgrades with a wrong token, from clients that never close their side. */
export const floodUpgrades: Fault = {
  name: "flood-upgrades",
  touches: ["memory"],
  hold: [500, 2000],
  available: always,
  async inject(world, random) {
    const count = random.int(50, 300);
    const head = [
      "GET /api/v3/sandboxes/create HTTP/1.1",
      "Host: localhost",
      "Authorization: Bearer wrong",
      "Connection: Upgrade",
      "Upgrade: websocket",
      "Sec-WebSocket-Version: 13",
      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ].join("\r\n");
    const sockets = await socketsTo(world, count, `${head}\r\n\r\n`);
    return {
      detail: `${count} sockets`,
      heal: () => Promise.resolve(sockets.forEach((socket) => socket.destroy())),
    };
  },
};

/** A reader of the audit stream that takes nothing. */
export const floodStream: Fault = {
  name: "flood-stream",
  touches: ["memory"],
  hold: [500, 2000],
  available: always,
  async inject(world) {
    const socket = connect(world.ports.api, "127.0.0.1");
    socket.on("error", () => undefined);
    socket.pause();
    socket.write(
      `GET /api/v1/audit/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${world.env.DENO_DEPLOY_TOKEN}\r\n\r\n`,
    );
    return { detail: "one reader", heal: () => Promise.resolve(void socket.destroy()) };
  },
};
