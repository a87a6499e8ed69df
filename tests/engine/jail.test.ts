/** What the kernel says about the monitor of a running machine: no rights, few calls, few files, nothing to write but its own disks. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { processIds } from "@caisson/linux";
import { create, withEngine } from "./engine.ts";

async function monitorOf(home: string): Promise<number> {
  for (const pid of await processIds()) {
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8").catch(() => "");
    const [mounts, name] = [await read("mountinfo"), await read("comm")];
    if (mounts.includes(`${home}/disks/`) && name.startsWith("qemu")) return pid;
  }
  throw new Error("There is no monitor.");
}

test("a monitor has no rights, a filter of its own, few descriptors, and a read-only root", { timeout: 120_000 }, () =>
  withEngine({}, async (node, home) => {
    await create(node);
    const pid = await monitorOf(home);
    const read = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8");
    const status = await read("status");
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
      assert.match(status, new RegExp(`^${set}:\\s0+$`, "m"));
    assert.match(status, /^NoNewPrivs:\s1$/m);
    // QEMU's own filter is one; ours is the other.
    assert.ok(Number(/^Seccomp_filters:\s(\d+)$/m.exec(status)?.[1]) >= 2, status);
    assert.match(await read("limits"), /^Max open files\s+1024\s+1024\s/m);
    const writable = (await read("mountinfo"))
      .split("\n")
      .filter((line) => /^\d+ \d+ \S+ \S+ \S+ rw/.test(line))
      .map((line) => line.split(" ")[4]);
    assert.deepEqual(new Set(writable), new Set(["/dev/null", "/dev/urandom", "/disks"]));
  }),
);
