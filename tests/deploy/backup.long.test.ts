/** The backup of docs/backup.md, word for word: a new home that is made of it serves the same app and has the same volume. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { deployCode } from "./deploy-code.ts";
import { visitor } from "./visit.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "../..");

test("a backup has everything that apps and volumes need", { timeout: 300_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "csn-"));
  after(() => rm(directory, { recursive: true, force: true }));
  const [home, backup] = [join(directory, "home"), join(directory, "backup")];
  const platform = await startPlatform({ home });
  after(() => platform.stop());
  Object.assign(process.env, platform.env);
  const client = new Client();
  const volume = await client.volumes.create({ slug: "kept", region: "ord", capacity: "300MB" });
  const maker = await Sandbox.create({ volumes: { "/data": volume.id } });
  await maker.fs.writeTextFile("/data/word", "kept");
  await client.apps.create({ slug: "kept" });
  const { done } = await deployCode(maker, "kept", `Deno.serve(() => new Response("kept"));`);
  assert.equal(done.status, "succeeded");
  await maker.kill();

  const page = await readFile(join(root, "docs/backup.md"), "utf8");
  // Where to is everybody's own choice.
  const script =
    /```sh\n(set -e\n[^]*?)```/.exec(page)?.[1]?.replace(/; to=.*/, `; to=${backup}; keys=${backup}`) ?? "";
  assert.ok(script.includes(`; to=${backup};`), page);
  await run("sh", ["-c", script], { env: { ...process.env, CAISSON_HOME: home } });
  await platform.stop();
  await rm(home, { recursive: true });

  const check = await run("npm", ["run", "--silent", "volumes", "--", "check"], {
    cwd: root,
    env: { ...process.env, CAISSON_HOME: backup },
  });
  assert.match(check.stdout, /: 0 faults/);
  const restored = await startPlatform({ home: backup });
  after(() => restored.stop());
  Object.assign(process.env, restored.env);
  const again = new Client();
  const reader = await Sandbox.create({ volumes: { "/data": "kept" } });
  assert.equal(await reader.fs.readTextFile("/data/word"), "kept");
  await reader.kill();
  const timelines = (await again.revisions.timelines(done.id)) as unknown as { domains: { domain: string }[] }[];
  const { domain } = timelines.flatMap(({ domains }) => domains)[0]!;
  assert.equal((await visitor(backup)(domain)).body, "kept");
});
