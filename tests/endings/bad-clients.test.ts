/**
 * Clients that end badly, over and over: killed, half open, never reading, gone in the middle of an upgrade. Afterwards the server
 * holds what it held before. `CAISSON_TEST_ROUNDS` sets the number of rounds (default 3; 200 for a long run).
 */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { Client } from "@deno/sandbox";
import { openFiles, processCounters, sharedPlatform, until, WireClient } from "@caisson/testing";

const rounds = Number(process.env["CAISSON_TEST_ROUNDS"] ?? 3);
const { env, pid } = await sharedPlatform();
const lasting = await WireClient.open({ env, config: { memory_mb: 1280, timeout: "20m" } });

/** Sends a process's output to a client that stops reading, then drops the connection. */
async function neverReads(): Promise<void> {
  const client = await WireClient.open({ env, id: lasting.sandboxId });
  const { pid: flood } = (await client.ok("spawn", { command: "yes", stdout: "piped", stderr: "null" })) as {
    pid: number;
  };
  client.socket.pause();
  client.request("processWait", { pid: flood });
  // The flood has reached this side; from here on nobody reads.
  await lasting.ok("spawn", { command: "true", stdout: "null", stderr: "null" });
  client.socket.terminate();
  await lasting.call("processKill", { pid: flood, signal: "SIGKILL" });
}

/** A session whose creator's socket is cut, with work of every kind still open. */
async function cutInTheMiddle(): Promise<void> {
  const client = await WireClient.open({ env });
  client.notify("$sandbox.stream.start", { streamId: 1 });
  client.request("writeFile", { path: "/tmp/never-finished", contentStreamId: 1 });
  client.request("open", { path: "/etc/hostname" });
  // Input for programs that end before it does, and for one that outlives its writer.
  for (const [streamId, command] of [
    [2, "true"],
    [3, "cat"],
  ] as const) {
    client.notify("$sandbox.stream.start", { streamId });
    client.request("spawn", { command, stdinStreamId: streamId, stdout: "piped", stderr: "null" });
    client.notify("$sandbox.stream.enqueue", { streamId, data: Buffer.alloc(60_000).toString("base64") });
  }
  client.request("spawn", { command: "sleep", args: ["1000"], stdout: "piped", stderr: "piped" });
  client.request("walk", { path: "/usr" });
  await client.ok("envGet", { key: "HOME" });
  client.socket.terminate();
}

/** Ends in the middle of the HTTP upgrade. */
function halfAnUpgrade(): Promise<void> {
  const { hostname, port } = new URL(env.DENO_SANDBOX_ENDPOINT);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      socket.write(
        `GET /api/v3/sandbox/${lasting.sandboxId}/connect HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\n`,
        () => {
          socket.destroy();
          resolve();
        },
      );
    });
    socket.once("error", reject);
  });
}

/** Asks for a sandbox and is gone before it is there. */
async function goneBeforeTheAnswer(): Promise<void> {
  const { hostname, port } = new URL(env.DENO_SANDBOX_ENDPOINT);
  const config = Buffer.from(JSON.stringify({ memory_mb: 1280 })).toString("base64");
  await new Promise<void>((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => {
      const lines = [
        "GET /api/v3/sandboxes/create HTTP/1.1",
        `host: ${hostname}:${port}`,
        "upgrade: websocket",
        "connection: upgrade",
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        `authorization: Bearer ${env.DENO_DEPLOY_TOKEN}`,
        `x-deno-sandbox-config: ${config}`,
      ];
      socket.write(`${lines.join("\r\n")}\r\n\r\n`, () => {
        socket.resetAndDestroy();
        resolve();
      });
    });
    socket.once("error", reject);
  });
}

async function running(): Promise<number> {
  Object.assign(process.env, env);
  return (await new Client().sandboxes.list()).filter((entry) => entry.status === "running").length;
}

async function round(): Promise<void> {
  await Promise.all([neverReads(), cutInTheMiddle(), halfAnUpgrade(), goneBeforeTheAnswer()]);
}

/** What a clone in the pool holds: a jail and a monitor; sockets to monitor, agent and egress. The pool grows with demand. */
const ofOneClone = { children: 2, fileDescriptors: 3 } as const;

async function pooledClones(): Promise<number> {
  const answer = await fetch(`${env.DENO_SANDBOX_ENDPOINT}/metrics`, {
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
  });
  return Number(/^caisson_pool_machines(?:\{[^}]*\})? (\d+)$/m.exec(await answer.text())?.[1]);
}

/** Counters after everything of a round has ended, without what the pool holds. */
async function settled(): Promise<{ fileDescriptors: number; children: number }> {
  await until(30_000, "the end of the sessions", async () => (await running()) === 1);
  // The pool refills itself; two equal looks in a row mean that it has.
  let last = "";
  return until(
    60_000,
    "counters that stand still",
    async () => {
      const { fileDescriptors, children } = processCounters(pid);
      const clones = await pooledClones();
      const now = `${fileDescriptors} ${children} ${clones}`;
      const still = now === last;
      last = now;
      if (!still) return undefined;
      return {
        fileDescriptors: fileDescriptors - clones * ofOneClone.fileDescriptors,
        children: children - clones * ofOneClone.children,
      };
    },
    1_000,
  );
}

test(`${rounds} rounds of bad clients leave nothing behind`, { timeout: 60_000 + rounds * 15_000 }, async () => {
  // The first round pays for what is made once, such as connections that are kept.
  await round();
  const before = await settled();
  for (let index = 0; index < rounds; index++) await round();
  const after = await until(60_000, `counters back at ${JSON.stringify(before)}`, async () => {
    const now = await settled();
    return now.fileDescriptors <= before.fileDescriptors + 2 && now.children <= before.children ? now : undefined;
  }).catch((error: unknown) => {
    throw new Error(
      `${String(error)}; now ${JSON.stringify(processCounters(pid))}\n${openFiles(pid).toSorted().join("\n")}`,
      { cause: error },
    );
  });
  assert.ok(after);
  assert.equal(await lasting.ok("envGet", { key: "HOME" }), "/home/app");
  const processes = (await lasting.ok("spawn", {
    command: "pgrep",
    args: ["-x", "yes|sleep"],
    stdout: "null",
    stderr: "null",
  })) as { pid: number };
  assert.equal(
    ((await lasting.ok("processWait", { pid: processes.pid })) as { code: number }).code,
    1,
    "processes of ended clients still run",
  );
  await fetch(`${env.DENO_SANDBOX_ENDPOINT}/api/v3/sandbox/${lasting.sandboxId}`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
  });
  await lasting.closed;
});
