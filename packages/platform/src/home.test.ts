import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { existingHome, loadConfig, lockHome, type HomeLock, nodeIdOf, writeEnvironment } from "./home.ts";

let home: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-home-"));
});
afterEach(() => rm(home, { recursive: true }));

test("without a file every key has its default, and the port variables win", async () => {
  const config = await loadConfig(home, { CAISSON_PORT: "0" });
  assert.equal(config.port, 0);
  assert.equal(config.sandbox.memoryDefault, 1280);
});

test("commands for operators make no home where there is none", async () => {
  const env = { CAISSON_HOME: join(home, "none") };
  await assert.rejects(existingHome(env), {
    code: "not_found",
    message: /none\/caisson\.db does not exist.*CAISSON_HOME/,
  });
  for (const command of ["orgs.ts list", "tokens.ts list", "volumes.ts check"]) {
    const [file = "", verb = ""] = command.split(" ");
    const run = spawnSync(process.execPath, [join(import.meta.dirname, file), verb], {
      env: { ...process.env, ...env, DATABASE_URL: "" },
      encoding: "utf8",
    });
    assert.equal(run.status, 1, command);
    assert.match(run.stderr, /does not exist/, command);
  }
  await assert.rejects(stat(env.CAISSON_HOME), { code: "ENOENT" });
  await writeFile(join(home, "caisson.db"), "");
  assert.equal(await existingHome({ CAISSON_HOME: home }), home);
});

test("an unknown key is refused by its name", async () => {
  await writeFile(join(home, "config.json"), `{"sandbox":{"memroyMax":1}}`);
  await assert.rejects(loadConfig(home, {}), { code: "invalid_argument", message: /memroyMax/ });
});

test("a file that is not JSON is refused by its path", async () => {
  await writeFile(join(home, "config.json"), `{`);
  await assert.rejects(loadConfig(home, {}), { code: "invalid_argument", message: /config\.json is not valid JSON/ });
});

test("a port that is no number is refused", async () => {
  await assert.rejects(loadConfig(home, { CAISSON_PORT: "http" }), { code: "invalid_argument", message: /port/ });
});

test("a second server on one home is refused, naming the first; what a dead one left does not matter", async () => {
  const lock = await lockHome(home);
  await assert.rejects(lockHome(home), { code: "already_exists", message: new RegExp(`pid ${process.pid}`) });
  await lock.release();
  // What is written in the file decides nothing: the kernel knows who holds the lock.
  await writeFile(join(home, "server.lock"), `${process.pid}\n`);
  await (await lockHome(home)).release();
});

test("the home of a server that was killed is free at once, also while nobody reaps the process", async () => {
  const program = `
    import { lockHome } from ${JSON.stringify(join(import.meta.dirname, "home.ts"))};
    const lock = await lockHome(${JSON.stringify(home)});
    console.log("held", process.pid);
    setInterval(() => lock, 1000);`;
  // The shell becomes a program that never waits for its children, as in a container without an init.
  const script = '"$0" --input-type=module -e "$1" & exec sleep 60';
  const parent = spawn("sh", ["-c", script, process.execPath, program], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [said] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(/^held (\d+)$/m.exec(String(said))?.[1]);
    await assert.rejects(lockHome(home), { code: "already_exists", message: new RegExp(`pid ${pid}`) });
    process.kill(pid, "SIGKILL");
    const state = async () => /\) (\w) /.exec(await readFile(`/proc/${pid}/stat`, "latin1"))?.[1];
    // The first thread is a zombie before the others have ended, and the lock is free when all have.
    let lock: HomeLock | undefined;
    for (const end = performance.now() + 10_000; lock === undefined && performance.now() < end; await sleep(5))
      if ((await state()) === "Z") lock = await lockHome(home).catch(() => undefined);
    assert.ok(lock);
    assert.equal(await state(), "Z");
    await lock.release();
  } finally {
    parent.kill("SIGKILL");
  }
});

test("the environment file is private and survives quotes", async () => {
  const path = await writeEnvironment(home, { CAISSON_EXAMPLE: "it's $HOME" });
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.equal(
    execFileSync("sh", ["-c", `. ${path}; printf %s "$CAISSON_EXAMPLE"`], { encoding: "utf8" }),
    "it's $HOME",
  );
});

test("a node keeps its id, and a damaged one is not replaced", async () => {
  const id = await nodeIdOf(home);
  assert.match(id, /^n[0-9a-f]{16}$/);
  assert.equal(await nodeIdOf(home), id);
  for (const torn of ["torn", ""]) {
    await writeFile(join(home, "node-id"), torn);
    await assert.rejects(nodeIdOf(home), { code: "invalid_argument", message: /Restore it from your backup/ });
  }
});
