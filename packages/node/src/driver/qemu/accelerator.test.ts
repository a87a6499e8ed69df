/** The probe against programs that behave like good, slow and broken monitors. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { probeKvm } from "./probe.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-probe-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function monitor(script: string): Promise<string> {
  const path = join(directory, "monitor");
  await writeFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return path;
}

test("a kernel that comes to its end is a host that works, and is not waited for", async () => {
  const program = await monitor("echo 'Kernel panic - not syncing: VFS: Unable to mount root fs'; exec sleep 60");
  const started = performance.now();
  assert.deepEqual(await probeKvm({ program, kernel: "/k" }), { works: true });
  assert.ok(performance.now() - started < 2000);
});

test("silence until the deadline, and a monitor that gives up, are hosts that do not", async () => {
  const slow = await probeKvm({ program: await monitor("exec sleep 60"), kernel: "/k", deadlineMs: 200 });
  assert.ok(!slow.works && /deadline/.test(slow.reason));
  const broken = await probeKvm({ program: await monitor("echo 'failed to set MSR' >&2; exit 1"), kernel: "/k" });
  assert.ok(!broken.works && /failed to set MSR/.test(broken.reason));
  assert.ok(!(await probeKvm({ program: join(directory, "none"), kernel: "/k" })).works);
});
