/**
 * Many generations of volume, snapshot, volume from it, and so on: how fast the last one is read, against a volume with the same
 * content written in one go, by the same sandbox, in turn; then again after the chain was shortened in the background. Then all are
 * deleted in random order and the host's disk must be as it was. Ends with status 1 when a goal is missed.
 * `node bench/volumes/chain.ts [--generations 50] [--pause 60]`
 */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { until } from "@caisson/testing";
import { quantiles, report } from "../report.ts";
import { imageBytes } from "./image-bytes.ts";
import { ownPlatform } from "./own-platform.ts";

const { values } = parseArgs({
  options: {
    generations: { type: "string", default: "50" },
    pause: { type: "string", default: "60" },
    json: { type: "boolean" },
  },
});
const generations = Number(values.generations);
const megabytes = 4;
const passes = 5;
const minRatio = 0.7;
// A deleted volume is not kept for the operator, so that its room comes back at once.
await using own = await ownPlatform({ pool: { size: 1 }, volumes: { reclaimAfter: 0 } });
const { home, platform, client } = own;
const make = (slug: string, from?: string) =>
  client.volumes.create({ slug, region: "ord", capacity: "2GB", ...(from === undefined ? {} : { from }) });

/** MB/s of a sequential read past the guest's cache. */
async function readSpeed(sandbox: Sandbox, path: string): Promise<number> {
  const script = `sync; echo 3 > /proc/sys/vm/drop_caches; a=$(date +%s%N); cat ${path}/[0-9]* > /dev/null; b=$(date +%s%N); echo $(( (b - a) / 1000 ))`;
  const microseconds = Number(await sandbox.sh`sudo sh -c ${script}`.text());
  return (generations * megabytes * 1e6) / microseconds;
}

async function compare(sandbox: Sandbox): Promise<{ chain: number; flat: number }> {
  const chain: number[] = [];
  const flat: number[] = [];
  for (let pass = 0; pass < passes; pass++) {
    chain.push(await readSpeed(sandbox, "/chain"));
    flat.push(await readSpeed(sandbox, "/flat"));
  }
  return { chain: quantiles(chain).p50, flat: quantiles(flat).p50 };
}

const atFirst = imageBytes(home);
const deletes: (() => Promise<unknown>)[] = [];
let last = await make("v-0");
for (let generation = 0; generation < generations; generation++) {
  const { id } = last;
  const writer = await Sandbox.create({ volumes: { "/data": id } });
  await writer.sh`head -c ${megabytes * 1e6} /dev/urandom > /data/${generation} && sync`;
  await writer.kill();
  const snapshot = await client.volumes.snapshot(id, { slug: `s-${generation}` });
  last = await make(`v-${generation + 1}`, snapshot.id);
  deletes.push(
    () => client.volumes.delete(id),
    () => client.snapshots.delete(snapshot.id),
  );
  process.stderr.write(`\r${generation + 1} of ${generations}`);
}
process.stderr.write("\n");
const flat = await make("flat");
deletes.push(
  () => client.volumes.delete(last.id),
  () => client.volumes.delete(flat.id),
);
const volumes = { "/chain": last.id, "/flat": flat.id };
const sandbox = await Sandbox.create({ volumes, timeout: "29m" });
await sandbox.sh`cp /chain/[0-9]* /flat/ && sync`;
const long = await compare(sandbox);
await sandbox.kill();
// The background work has a pass every few seconds, and what it cuts is copied: so many seconds for it.
await sleep(Number(values.pause) * 1000);
const again = await Sandbox.create({ volumes });
const short = await compare(again);
await again.kill();
const atMost = imageBytes(home);
const order = deletes.map((action) => ({ action, at: Math.random() })).toSorted((a, b) => a.at - b.at);
for (const { action } of order) await action();
await until(240_000, "the room to be given back", () => imageBytes(home) <= atFirst, 500);
await platform.stop(60_000);
const tool = join(import.meta.dirname, "../../packages/platform/src/volumes.ts");
const check = execFileSync(process.execPath, [tool, "check"], {
  env: { ...process.env, CAISSON_HOME: home },
  encoding: "utf8",
});
const ratios = { long: long.chain / long.flat, short: short.chain / short.flat };
report({
  generations,
  "read of the last, MB/s": long.chain,
  "read of a flat volume, MB/s": long.flat,
  "last / flat": ratios.long,
  "last / flat, after the chain was shortened": ratios.short,
  "images at first, bytes": String(atFirst),
  "images before the deletes, bytes": String(atMost),
  "images after the deletes, bytes": String(imageBytes(home)),
  check: check.trim(),
});
if (ratios.long < minRatio || ratios.short < minRatio) {
  console.error(`Missed: reads at ${minRatio} of a flat volume's speed.`);
  process.exitCode = 1;
}
