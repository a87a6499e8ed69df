/** A process that is killed while it launches a machine, at any step, leaves nothing that the next one does not find. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "@caisson/testing";
import { engine, temporaryHome } from "./engine.ts";

/** Processes that have a disk directory of this home mounted, or are about to mount it: the monitor and the two of its jail. */
async function monitorsOf(home: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const [mounts, command] = await Promise.all(
      ["mountinfo", "cmdline"].map((file) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "")),
    );
    if (mounts!.includes(`${home}/disks/`) || command!.includes(`${home}/disks/`)) found.push(pid);
  }
  return found;
}

/** Without cgroups, which needs a mount namespace of its own. */
async function runUntilKilled(home: string, step: string): Promise<void> {
  const script = `umount -l -a -t cgroup,cgroup2 && exec "$0" "$@"`;
  const program = [process.execPath, join(import.meta.dirname, "killed-launcher.ts"), home, step];
  const child = spawn("unshare", ["--mount", "sh", "-c", script, ...program], {
    stdio: ["ignore", "inherit", "inherit"],
  });
  const [, signal] = (await once(child, "exit")) as [number | null, string | null];
  assert.equal(signal, "SIGKILL");
}

for (const step of ["spawned", "reported", "recorded"]) {
  test(
    `killed when the jail was ${step}, without cgroups: the next start finds the machine`,
    { timeout: 120_000, skip: process.getuid?.() === 0 ? false : "needs root to hide the cgroups" },
    async () => {
      const home = await temporaryHome();
      try {
        await runUntilKilled(home, step);
        // It lives on without us. A jail that has not read its filter to the end gives up by itself.
        if (step !== "spawned") await until(5000, "a monitor", async () => (await monitorsOf(home)).length > 0);
        const next = await engine(home);
        const { reclaimed } = await next.start({ wanted: [] });
        assert.equal(reclaimed.length, 1);
        // The process outside the jail ends a moment after the monitor.
        await until(2000, "the end of the monitor", async () => (await monitorsOf(home)).length === 0);
        for (const directory of ["run", "disks"]) assert.deepEqual(await readdir(join(home, directory)), []);
        await next.close("end");
      } finally {
        await rm(home, { recursive: true, force: true });
      }
    },
  );
}
