/** The disk of the files of apps gets full: each deployment fails with that reason, gives back what it took, and what is served goes on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client } from "@deno/sandbox";
import { holdings, startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { addressOf, buildLog, deployAssets } from "./assets.ts";
import { visitor } from "./visit.ts";

const skip = process.getuid?.() === 0 ? false : "needs root, for a small file system";
/** MiB that are free for the deployments. */
const room = 150;
const home = await mkdtemp(join(tmpdir(), "csn-"));
let platform: PlatformProcess | undefined;
let client: Client;
let address: string;

before(
  async () => {
    if (skip !== false) return;
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=600m", "tmpfs", home]);
    const config = { serving: { buildMemory: 768, buildTimeout: 1000, buildCacheBytes: 0 }, pool: { size: 0 } };
    platform = await startPlatform({ home, config });
    Object.assign(process.env, platform.env);
    client = new Client();
    await client.apps.create({ slug: "full" });
    const small = await deploy(1);
    assert.deepEqual([small.failure_message, small.status], [null, "succeeded"]);
    address = await addressOf(client, small.id);
    await until(120_000, "the end of the machine", () =>
      holdings(home).processes.every((process) => !process.includes("qemu-system")) ? true : undefined,
    );
    execFileSync("fallocate", ["-l", `${(await free()) - room}MiB`, join(home, "filler")]);
  },
  { timeout: 1_200_000 },
);
after(async () => {
  await platform?.stop();
  try {
    if (skip === false) execFileSync("umount", [home]);
    assert.deepEqual(holdings(home), { processes: [], mounts: [], sockets: [], cgroups: [], loopDevices: [] });
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

/** @param mib of its largest file */
const deploy = (mib: number) =>
  deployAssets(
    client,
    "full",
    { "page.txt": "page" },
    {
      config: {
        build: `mkdir dist && cp page.txt dist/index.html && head -c ${mib}M /dev/urandom > dist/large`,
        runtime: { type: "static", cwd: "dist" },
      },
    },
  );

/** MiB. */
async function free(): Promise<number> {
  const { bsize, bavail } = await statfs(home);
  return Math.floor((bavail * bsize) / 2 ** 20);
}

// The disk of the machine and the contents do not fit together; the contents and the image do not.
for (const [mib, what] of [
  [110, "contents"],
  [60, "the image"],
] as const)
  test(`there is no room for ${what}`, { skip, timeout: 1_200_000 }, async (t) => {
    const failed = await deploy(mib);
    assert.deepEqual(
      [failed.status, failed.failure_reason, failed.failure_message],
      ["failed", "error", "The disk of the node that stores the files of apps is full."],
      await buildLog(client, failed.id),
    );
    assert.equal((await visitor(home)(address)).body, "page");
    const began = performance.now();
    await until(600_000, "the room", async () => ((await free()) > room - 10 ? true : undefined));
    t.diagnostic(`the room was given back within ${Math.round(performance.now() - began)} ms`);
    assert.deepEqual(await readdir(join(home, "apps/drafts")), []);
  });

test("afterwards a deployment that fits succeeds", { skip, timeout: 1_200_000 }, async () => {
  const small = await deploy(2);
  assert.deepEqual([small.failure_message, small.status], [null, "succeeded"]);
  await client.apps.delete("full");
});
