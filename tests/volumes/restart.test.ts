/** The platform is killed while volumes are mounted and snapshots are being taken: everything promised is there afterwards. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform, type PlatformProcess } from "@caisson/testing";

const config = { pool: { size: 1 }, logLevel: "warn" };

test("kill -9 of the platform amid snapshots of a mounted volume", { timeout: 240_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), "csn-"));
  after(() => rm(home, { recursive: true, force: true }));
  let platform: PlatformProcess = await startPlatform({ home, config });
  after(() => platform.stop());
  Object.assign(process.env, platform.env);
  const { id } = await new Client().volumes.create({ slug: "work", region: "ord", capacity: "500MB" });
  const keeper = await Sandbox.create({ volumes: { "/data": id }, timeout: "15m" });
  keeper.closed.catch(() => undefined);

  // One snapshot after another, until the platform is gone.
  const client = new Client();
  const taken: { id: string; index: number }[] = [];
  const taking = (async () => {
    for (let index = 0; ; index++) {
      await keeper.fs.writeTextFile("/data/index", String(index));
      const snapshot = await client.volumes.snapshot(id, { slug: `snap-${index}` });
      taken.push({ id: snapshot.id, index });
    }
  })().catch(() => undefined);
  while (taken.length < 3) await sleep(50);
  await sleep(Math.random() * 400);
  await platform.crash();
  await taking;

  platform = await startPlatform({ home, config });
  Object.assign(process.env, platform.env);
  const fresh = new Client();
  const again = await Sandbox.connect(keeper.id);
  // The sandbox has not noticed, and still has its volume for itself.
  const index = await again.fs.readTextFile("/data/index");
  // Empty when the kill came in the middle of the last write, which nobody was told was done.
  assert.ok(index === "" || Number(index) >= taken.at(-1)!.index, index);
  await assert.rejects(Sandbox.create({ volumes: { "/data": id } }), { status: 409 });
  const listed = (await fresh.snapshots.list({ limit: 1000 })).items;
  for (const { id: snapshot } of taken)
    assert.ok(
      listed.some((found) => found.id === snapshot),
      `${snapshot} was promised`,
    );
  assert.ok(listed.length <= taken.length + 1, "at most the one that was under way has come in beside");
  await again.fs.writeTextFile("/data/index", "after the restart");
  const late = await fresh.volumes.snapshot(id, { slug: "late" });
  await again.kill();

  for (const [snapshot, content] of [
    [taken[0]!.id, "0"],
    [taken.at(-1)!.id, String(taken.at(-1)!.index)],
    [late.id, "after the restart"],
  ] as const) {
    const copy = await fresh.volumes.create({
      slug: `copy-${snapshot.slice(-8)}`,
      region: "ord",
      capacity: "500MB",
      from: snapshot,
    });
    const reader = await Sandbox.create({ volumes: { "/data": copy.id } });
    assert.equal(await reader.fs.readTextFile("/data/index"), content);
    await reader.kill();
  }
  await platform.stop();
  const check = [join(import.meta.dirname, "../../packages/platform/src/volumes.ts"), "check"];
  assert.match(
    execFileSync(process.execPath, check, { env: { ...process.env, CAISSON_HOME: home }, encoding: "utf8" }),
    /: 0 faults/,
  );
});
