/** Clients from PyPI, ssh-audit, a mounted directory, and what takes minutes. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { until } from "@caisson/testing";
import { pythonWith } from "../conformance/runner/python-environment.ts";
import { attemptLogin, localGateway, type LocalGateway } from "./local.ts";
import { OpenSsh } from "./openssh.ts";
import { program } from "./programs.ts";

let local: LocalGateway;
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-clients-"));
  local = await localGateway();
});
after(async () => {
  await local.close();
  await rm(directory, { recursive: true });
});

test("paramiko and asyncssh", { timeout: 300_000 }, async () => {
  const python = await pythonWith("paramiko==5.1.0", "asyncssh==2.24.1");
  const { username, port } = local.address;
  const script = join(import.meta.dirname, "clients.py");
  const { code, stdout, stderr } = await program(python, [script, String(port), username, directory]);
  assert.deepEqual([code, stdout], [0, "fine\n"], stderr);
});

test(
  "a directory mounted by sshfs",
  {
    timeout: 60_000,
    skip: !(existsSync("/dev/fuse") && existsSync("/usr/bin/sshfs")) && "needs sshfs and /dev/fuse",
  },
  async () => {
    const client = new OpenSsh(local.address, local.hostKey);
    const [far, near] = [join(directory, "far"), join(directory, "near")];
    await mkdir(far);
    await mkdir(near);
    const mounted = await program("sshfs", ["-F", client.config, `sandbox:${far}`, near]);
    assert.equal(mounted.code, 0, mounted.stderr);
    try {
      await writeFile(join(near, "file"), "through the mount");
      assert.equal(await readFile(join(far, "file"), "utf8"), "through the mount");
    } finally {
      await program("fusermount3", ["-u", near]);
    }
  },
);

test(
  "1,000 wrong logins of ten addresses: none gets in, others log in at once, and nothing is kept",
  { timeout: 300_000 },
  async (t) => {
    const { port, username } = local.address;
    const attempt = (name: string, from: string) => attemptLogin(port, name, from);
    const measure = () => {
      const { rss, heapUsed } = process.memoryUsage();
      return { rss: Math.round(rss / 2 ** 20), heap: Math.round(heapUsed / 2 ** 20) };
    };
    await attempt(username, "127.0.30.1");
    const before = measure();
    const started = performance.now();
    let words = 0;
    let slowest = 0;
    for (let round = 0; round < 100; round++) {
      const all = await Promise.all(Array.from({ length: 10 }, (_, at) => attempt("w".repeat(32), `127.0.31.${at}`)));
      assert.ok(!all.includes("in"));
      words += all.filter((text) => text.includes("no running sandbox")).length;
      const asked = performance.now();
      assert.equal(await attempt(username, "127.0.30.1"), "in");
      slowest = Math.max(slowest, performance.now() - asked);
    }
    const seconds = (performance.now() - started) / 1000;
    t.diagnostic(
      `${seconds.toFixed(1)} s; ${words} read why, the others were turned away; slowest login ${slowest.toFixed(0)} ms`,
    );
    t.diagnostic(
      `memory before ${JSON.stringify(before)} and after ${JSON.stringify(measure())}, MiB, with the client in the same process`,
    );
    assert.ok(words >= 500 && words < 1000);
    assert.ok(measure().heap - before.heap < 50);
  },
);

test("vim in tmux follows the size of the terminal, and saves", { timeout: 180_000 }, async () => {
  const tmux = (...args: string[]) => program("tmux", ["-S", join(directory, "outer"), ...args]);
  const screen = (what: RegExp) =>
    until(60_000, String(what), async () => {
      const { stdout } = await tmux("capture-pane", "-p");
      return what.test(stdout) ? stdout : undefined;
    });
  const client = new OpenSsh(local.address, local.hostKey);
  const edited = join(directory, "edited");
  const command = `ssh -F ${client.config} -t sandbox vi -u NONE -N ${edited}`;
  await tmux("-f", "/dev/null", "new-session", "-d", "-x", "90", "-y", "30", command);
  try {
    const size = (is: RegExp) =>
      until(60_000, String(is), async () => {
        await tmux("send-keys", "Escape", ":echo 'size' &lines &columns", "Enter");
        return is.test((await tmux("capture-pane", "-p")).stdout) ? true : undefined;
      });
    await screen(/~\n/);
    await size(/size 30 90/);
    await tmux("resize-window", "-x", "111", "-y", "41");
    await size(/size 41 111/);
    await tmux("send-keys", "Escape", "iwritten by vim");
    await screen(/written by vim/);
    await tmux("send-keys", "Escape", ":wq", "Enter");
    await until(60_000, "the file", async () =>
      (await readFile(edited, "utf8").catch(() => "")) === "written by vim\n" ? true : undefined,
    );
  } finally {
    await tmux("kill-server");
  }
});

test("a session that is idle for 15 minutes goes on", { timeout: 20 * 60_000 }, async () => {
  const client = new OpenSsh(local.address, local.hostKey);
  const running = client.start(["sandbox", "cat"]);
  let text = "";
  running.stdout.setEncoding("utf8").on("data", (part: string) => (text += part));
  await sleep(15 * 60_000);
  running.stdin.end("still here\n");
  const code = await new Promise((resolve) => running.once("close", resolve));
  assert.deepEqual([code, text], [0, "still here\n"]);
});

test("ssh-audit finds no failure", { timeout: 300_000 }, async () => {
  const python = await pythonWith("ssh-audit==3.9.0");
  const { code, stdout } = await program(python, [
    "-m",
    "ssh_audit.ssh_audit",
    "--skip-rate-test",
    "-n",
    "-p",
    String(local.address.port),
    "127.0.0.1",
  ]);
  // 3: failures; 2: warnings, of which one is left: no post-quantum key exchange.
  assert.ok(code === 0 || code === 2, stdout);
  assert.ok(!stdout.includes("[fail]"), stdout);
  assert.match(stdout, /kex-strict-s-v00@openssh.com/);
  for (const line of stdout.split("\n").filter((one) => one.includes("[warn]"))) assert.match(line, /post-quantum/);
});
