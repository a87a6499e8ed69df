/** A real server over the damaged volume of one organisation: it starts, says so everywhere, and serves everything else. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { DatabaseSync } from "node:sqlite";
import { Client } from "@deno/sandbox";
import { startPlatform, type PlatformProcess } from "@caisson/testing";

const config = { pool: { size: 0 }, logLevel: "warn" };
const region = "ord";
const capacity = "300MB";

test("one damaged image keeps no server from starting", { timeout: 240_000 }, async () => {
  const home = await mkdtemp(join(tmpdir(), "csn-"));
  let platform: PlatformProcess | undefined;
  after(async () => {
    await platform?.stop();
    await rm(home, { recursive: true, force: true });
  });
  platform = await startPlatform({ home, config });
  Object.assign(process.env, platform.env);
  const damaged = await new Client().volumes.create({ slug: "damaged", region, capacity });
  const sound = await new Client().volumes.create({ slug: "sound", region, capacity });
  await platform.stop();

  const database = new DatabaseSync(join(home, "caisson.db"), { readOnly: true });
  const { head } = database.prepare("select head from volumes where id = ?").get(damaged.id) as { head: string };
  database.close();
  const image = join(home, "volumes/layers", `${head}.qcow2`);
  await truncate(image, 100);
  await writeFile(join(home, "volumes/layers/stray.qcow2"), "no image");
  platform = await startPlatform({ home, config });
  Object.assign(process.env, platform.env);
  assert.match(platform.output(), new RegExp(`layer ${head}: .*no qcow2 header`));
  assert.match(platform.output(), new RegExp(`"volumes":\\["${damaged.id}"\\]`));
  const health = (await (await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/healthz`)).json()) as object;
  assert.deepEqual("damaged" in health && health.damaged, { volumes: 1, snapshots: 0, revisions: 0 });
  const client = new Client();
  await assert.rejects(client.volumes.snapshot(damaged.id, { slug: "s1" }), { status: 409, code: "VOLUME_DAMAGED" });
  await client.volumes.snapshot(sound.id, { slug: "s2" });
  assert.deepEqual((await client.volumes.list()).items.map(({ slug }) => slug).sort(), ["damaged", "sound"]);

  const check = await operator(home, "check");
  assert.equal(check.code, 1);
  assert.match(check.output, new RegExp(`^${head}: .*no qcow2 header`, "m"));
  assert.match(check.output, new RegExp(`^${damaged.id}: it needs layer ${head}, which has a fault`, "m"));
  assert.match(check.output, /^stray: its image belongs to no layer/m);
  assert.doesNotMatch(check.output, new RegExp(`^${sound.id}`, "m"));
  assert.match((await operator(home, "damaged")).output, new RegExp(`^volume ${damaged.id} is refused`, "m"));
  const repair = await operator(home, "repair", damaged.id);
  assert.deepEqual(
    [repair.code, repair.output],
    [1, `${head}: its image cannot be used, and there is no copy at rest\n`],
  );
  assert.equal((await operator(home, "drop", damaged.id)).code, 0);
  assert.deepEqual(
    (await client.volumes.list()).items.map(({ slug }) => slug),
    ["sound"],
  );
});

function operator(home: string, ...args: readonly string[]): Promise<{ code: number; output: string }> {
  const program = join(import.meta.dirname, "../../packages/platform/src/volumes.ts");
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [program, ...args],
      { env: { ...process.env, CAISSON_HOME: home } },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === "number" ? error.code : 0, output: stdout + stderr });
      },
    );
  });
}
