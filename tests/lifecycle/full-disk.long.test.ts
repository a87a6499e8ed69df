/** A home without a free byte, with real machines: a guest that waits for space, a client that disconnects, and what is deleted then. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { holdings, startPlatform, until, WireClient } from "@caisson/testing";

const nothing = { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] };

test("on a full disk sandboxes end, that is recorded, and new ones run when there is room again", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("a file system of a fixed size is mounted by root");
  const disk = mkdtempSync(join(tmpdir(), "csn-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=400m", "tmpfs", disk]);
  after(() => {
    execFileSync("umount", ["--lazy", disk]);
    rmSync(disk, { recursive: true, force: true });
  });
  const home = join(disk, "h");
  const platform = await startPlatform({
    home,
    config: { pool: { size: 0 }, database: { reserveBytes: 4 * 2 ** 20 } },
  });
  after(() => platform.stop().catch(() => undefined));
  const { env } = platform;
  const rest = (path: string, method = "GET") =>
    fetch(env.DENO_DEPLOY_ENDPOINT + path, { method, headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` } });
  const statuses = async () => {
    const list = (await (await rest("/api/v2/sandboxes")).json()) as { id: string; status: string }[];
    return new Map(list.map(({ id, status }) => [id, status]));
  };
  try {
    const left = await WireClient.open({ env, config: {} });
    const writer = await WireClient.open({ env, config: {} });
    fillUp(home);
    // The monitor cannot write it, and lets the guest wait.
    const command = "dd if=/dev/urandom of=/home/app/big bs=1M count=24 conv=fsync";
    const spawned = writer.ok("spawn", { command: "sh", args: ["-c", command], stdout: "null", stderr: "null" });
    spawned.catch(() => {});
    await until(30_000, "no free byte", () => statfsSync(home).bavail === 0 || undefined);
    left.socket.terminate();
    const asked = performance.now();
    assert.equal((await rest(`/api/v3/sandbox/${writer.sandboxId}`, "DELETE")).status, 204);
    t.diagnostic(`DELETE took ${Math.round(performance.now() - asked)} ms`);
    await until(10_000, "both ends", async () => {
      const now = await statuses();
      return [left, writer].every(({ sandboxId }) => now.get(sandboxId) === "stopped") || undefined;
    });
    await until(
      10_000,
      "the end of the machines",
      () => !holdings(home).processes.some((process) => process.includes("qemu-system")) || undefined,
    );
    rmSync(join(home, "filler"));
    const fresh = await WireClient.open({ env, config: {} });
    assert.equal((await statuses()).get(fresh.sandboxId), "running");
    await platform.crash();
  } finally {
    if (statfsSync(home).bavail === 0) rmSync(join(home, "filler"), { force: true });
  }
  // What the database says is what was recorded, not what the former process remembered.
  const second = await startPlatform({ home, config: { pool: { size: 0 } } });
  const list = (await (
    await fetch(`${second.env.DENO_DEPLOY_ENDPOINT}/api/v2/sandboxes`, {
      headers: { authorization: `Bearer ${second.env.DENO_DEPLOY_TOKEN}` },
    })
  ).json()) as { status: string; reason: string }[];
  assert.deepEqual(list.map(({ reason }) => reason).toSorted(), [
    "killed",
    "session ended",
    "session ended by a restart",
  ]);
  await second.stop();
  assert.deepEqual(holdings(home), nothing);
});

function fillUp(home: string): void {
  const { bavail, bsize } = statfsSync(home);
  writeFileSync(join(home, "filler"), Buffer.alloc(bavail * bsize - 8 * 2 ** 20));
}
