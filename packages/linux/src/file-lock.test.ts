import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { takeFileLock, withFileLock, type FileLock } from "./file-lock.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-lock-"));
  path = join(directory, "lock");
});
afterEach(() => rm(directory, { recursive: true }));

test("one holds it, the next gets it when it was released", async () => {
  const lock = await takeFileLock(path);
  assert.ok(lock);
  assert.equal(await takeFileLock(path), undefined);
  await lock.release();
  const next = await takeFileLock(path);
  assert.ok(next);
  await next.release();
});

test("many at once: never two at a time, and all get their turn", async () => {
  let inside = 0;
  let turns = 0;
  const action = async () => {
    assert.equal(++inside, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    inside--;
    turns++;
  };
  await Promise.all(Array.from({ length: 8 }, () => withFileLock(path, { deadlineMs: 30_000 }, action)));
  assert.equal(turns, 8);
});

test("waiting longer than the deadline is an error", async () => {
  const lock = await takeFileLock(path);
  await assert.rejects(
    withFileLock(path, { deadlineMs: 100 }, async () => {}),
    { code: "timeout" },
  );
  await lock!.release();
});

test("a process that is killed leaves no lock, also while nobody reaps it", async () => {
  const program = `
    import { takeFileLock } from ${JSON.stringify(join(import.meta.dirname, "file-lock.ts"))};
    const lock = await takeFileLock(${JSON.stringify(path)});
    console.log(lock === undefined ? "busy" : "held", process.pid);
    setInterval(() => lock, 1000);`;
  // The shell becomes a program that never waits for the owner of the lock, which is therefore a zombie once it was killed.
  const script = '"$0" --input-type=module -e "$1" & exec sleep 60';
  const parent = spawn("sh", ["-c", script, process.execPath, program], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [said] = (await once(parent.stdout, "data")) as [Buffer];
    const pid = Number(/^held (\d+)$/m.exec(String(said))?.[1]);
    assert.equal(await takeFileLock(path), undefined);
    process.kill(pid, "SIGKILL");
    const state = async () => /\) (\w) /.exec(await readFile(`/proc/${pid}/stat`, "latin1"))?.[1];
    // The first thread is a zombie before the others have ended, and the lock is free when all have.
    let lock: FileLock | undefined;
    for (const end = performance.now() + 10_000; lock === undefined && performance.now() < end; await sleep(5))
      if ((await state()) === "Z") lock = await takeFileLock(path);
    assert.ok(lock);
    assert.equal(await state(), "Z");
    await lock.release();
  } finally {
    parent.kill("SIGKILL");
  }
});
