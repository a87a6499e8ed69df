import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { takeFileLock, withFileLock } from "./file-lock.ts";

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
    console.log(lock === undefined ? "busy" : "held");
    setInterval(() => lock, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  assert.match(String(said), /held/);
  assert.equal(await takeFileLock(path), undefined);
  child.kill("SIGKILL");
  await once(child, "exit");
  const lock = await takeFileLock(path);
  assert.ok(lock);
  await lock.release();
});
