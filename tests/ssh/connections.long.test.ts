/** What happens to a connection while it lives: new keys, a server that stops, an agent that is not forwarded. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import ssh2 from "ssh2";
import { until } from "@caisson/testing";
import { localGateway } from "./local.ts";
import { OpenSsh } from "./openssh.ts";
import { program } from "./programs.ts";

const limits = { login: 30_000, rekeyBytes: 2 ** 30, rekeyTime: 3_600_000, rekeyAnswer: 10_000 };
const exchanges = (stderr: string) => stderr.match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;

test("new keys by bytes, in the middle of much data in both directions", { timeout: 90_000 }, async () => {
  const local = await localGateway({ limits: { ...limits, rekeyBytes: 2 ** 20 } });
  try {
    const client = new OpenSsh(local.address, local.hostKey, ["LogLevel DEBUG1"]);
    const data = randomBytes(6_000_000)
      .toString("latin1")
      .replaceAll(/[^\x20-\x7e]/g, "x");
    const { code, stdout, stderr } = await client.run("ssh", ["sandbox", "cat"], data);
    assert.equal(code, 0);
    const hash = (text: string) => createHash("sha256").update(text).digest("hex");
    assert.equal(hash(stdout), hash(data));
    assert.ok(exchanges(stderr) >= 4, `${exchanges(stderr)} key exchanges`);
  } finally {
    await local.close();
  }
});

test("new keys by time, and the session goes on", { timeout: 90_000 }, async () => {
  const local = await localGateway({ limits: { ...limits, rekeyTime: 400 } });
  try {
    const client = new OpenSsh(local.address, local.hostKey, ["LogLevel DEBUG1"]);
    const { code, stdout, stderr } = await client.run("ssh", ["sandbox", "sleep 2; echo still here"]);
    assert.deepEqual([code, stdout], [0, "still here\n"]);
    assert.ok(exchanges(stderr) >= 3, `${exchanges(stderr)} key exchanges`);
  } finally {
    await local.close();
  }
});

test("a client that takes no part in a key exchange is disconnected", { timeout: 90_000 }, async () => {
  const local = await localGateway({ limits: { ...limits, rekeyTime: 1_500, rekeyAnswer: 1_000 } });
  try {
    const client = new OpenSsh(local.address, local.hostKey);
    const running = client.start(["sandbox", "echo started; sleep 60"]);
    await once(running.stdout, "data");
    running.kill("SIGSTOP");
    await until(20_000, "the log", async () =>
      local.lines.some((line) => line.includes("did not take part in a key exchange")) ? true : undefined,
    );
    running.kill("SIGCONT");
    assert.deepEqual(await once(running, "close"), [255, null]);
  } finally {
    await local.close();
  }
});

test("a server that stops says so to those who are connected, and takes nobody else", { timeout: 60_000 }, async () => {
  const local = await localGateway();
  const client = new OpenSsh(local.address, local.hostKey);
  const running = client.run("ssh", ["sandbox", "sleep 60"]);
  await until(20_000, "the program", async () =>
    (await client.run("ssh", ["sandbox", "pgrep -x sleep >/dev/null && echo runs"])).stdout === "runs\n"
      ? true
      : undefined,
  );
  await local.close();
  const { code, stderr } = await running;
  assert.equal(code, 255);
  assert.match(stderr, /Caisson: the server stops/);
  assert.equal((await client.run("ssh", ["sandbox", "true"])).code, 255);
});

test(
  "programs end with their client: while they start, and though they have not read what it sent",
  { timeout: 120_000 },
  async () => {
    const local = await localGateway();
    try {
      const { hostname: host, port, username } = local.address;
      for (let round = 0; round < 20; round++) {
        const client = new ssh2.Client();
        client.on("error", () => undefined);
        client.connect({ host, port, username });
        await once(client, "ready");
        client.exec(`sleep 98765.${round}`, (_, channel) => {
          channel.on("error", () => undefined);
          if (round % 2 === 1) channel.write(Buffer.alloc(4 * 2 ** 20), () => undefined);
          setTimeout(() => client.destroy(), round % 2 === 0 ? 0 : 300);
        });
        await once(client, "close");
      }
      const open = new OpenSsh(local.address, local.hostKey);
      const running = () => open.run("ssh", ["sandbox", "pgrep -fx 'sleep 98765[.].*'"]);
      await until(30_000, "the end of all", async () => ((await running()).stdout === "" ? true : undefined));
    } finally {
      await local.close();
    }
  },
);

test("a client that breaks the protocol and keeps its side open is cut", { timeout: 60_000 }, async () => {
  const local = await localGateway();
  try {
    const { hostname: host, port, username } = local.address;
    const ended = new Promise((resolve) => local.gateway.onVisit(resolve));
    const socket = connect({ host, port, allowHalfOpen: true });
    socket.on("error", () => undefined);
    const client = new ssh2.Client();
    client.on("error", () => undefined);
    client.connect({ sock: socket, username });
    await once(client, "ready");
    // From here on the client's library neither reads nor ends the socket.
    socket.removeAllListeners("end").removeAllListeners("data").resume();
    socket.write(Buffer.alloc(100, "x"));
    await ended;
    socket.destroy();
  } finally {
    await local.close();
  }
});

/** A gateway that forwards agents, and an agent of the client. */
async function withAgent() {
  const local = await localGateway({ agentForwarding: true });
  const directory = await mkdtemp(join(tmpdir(), "caisson-agent-"));
  const socket = join(directory, "agent");
  const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
  const close = async () => {
    agent.kill();
    await local.close();
    await rm(directory, { recursive: true });
  };
  return { local, directory, socket, close };
}

test(
  "the client's agent is forwarded where the operator allows it, until the connection ends",
  { timeout: 120_000 },
  async () => {
    const { local, directory, socket, close } = await withAgent();
    try {
      const key = join(directory, "key");
      assert.equal((await program("ssh-keygen", ["-q", "-N", "", "-t", "ed25519", "-f", key])).code, 0);
      await until(20_000, "the agent", async () =>
        (await program("env", [`SSH_AUTH_SOCK=${socket}`, "ssh-add", "-q", key])).code === 0 ? true : undefined,
      );
      const client = new OpenSsh(local.address, local.hostKey);
      const command = "ssh-add -l; ssh-add -l; stat -c %a $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK";
      const run = (...options: string[]) =>
        program("env", [`SSH_AUTH_SOCK=${socket}`, "ssh", "-F", client.config, ...options, "sandbox", command]);
      const { code, stdout, stderr } = await run("-A");
      assert.equal(code, 0, stderr);
      const lines = stdout.trim().split("\n");
      const { stdout: known } = await program("ssh-keygen", ["-lf", `${key}.pub`]);
      assert.deepEqual(lines.slice(0, 3), [known.trim(), known.trim(), "600"]);
      assert.match(lines[3]!, /^\/tmp\/ssh-agent-/);
      assert.notEqual(lines[3], socket);
      await until(20_000, "the end of the socket", async () => (existsSync(lines[3]!) ? undefined : true));
      // Who does not ask for it does not get it.
      assert.doesNotMatch((await run("-a")).stdout, /ssh-agent|ED25519/);
    } finally {
      await close();
    }
  },
);

test(
  "after a failure to forward the client's agent, the next session of the connection has it",
  { timeout: 120_000 },
  async () => {
    const { local, directory, socket, close } = await withAgent();
    const client = new OpenSsh(local.address, local.hostKey);
    const mux = ["-F", client.config, "-A", "-S", join(directory, "mux")];
    const ssh = (...args: string[]) => program("env", [`SSH_AUTH_SOCK=${socket}`, "ssh", ...mux, ...args]);
    const master = spawn("ssh", [...mux, "-M", "-N", "sandbox"], { env: { ...process.env, SSH_AUTH_SOCK: socket } });
    try {
      await until(60_000, "the control socket", async () =>
        (await ssh("-O", "check", "sandbox")).code === 0 ? true : undefined,
      );
      const inside = (await ssh("-a", "sandbox", "echo $PPID")).stdout.trim();
      const files = (limit: string) => program("prlimit", ["--pid", inside, `--nofile=${limit}`]);
      const usual = (await program("prlimit", ["--pid", inside, "--nofile", "-o", "SOFT", "--noheadings"])).stdout;
      // The agent of the machine can open nothing, so it cannot listen either.
      assert.equal((await files("3:")).code, 0);
      assert.notEqual((await ssh("sandbox", "true")).code, 0);
      assert.equal((await files(`${usual.trim()}:`)).code, 0);
      const { stdout } = await ssh("sandbox", "ssh-add -l");
      assert.equal(stdout, "The agent has no identities.\n");
    } finally {
      master.kill();
      await close();
    }
  },
);

test("the client's agent is not forwarded unless the operator allows it", { timeout: 60_000 }, async () => {
  const local = await localGateway();
  try {
    const client = new OpenSsh(local.address, local.hostKey);
    const { code, stdout } = await client.run("ssh", ["-A", "sandbox", "echo agent=$SSH_AUTH_SOCK"]);
    assert.deepEqual([code, stdout], [0, "agent=\n"]);
  } finally {
    await local.close();
  }
});
