/**
 * How fast a volume of many generations is read: one that has had a snapshot after every piece of its content, against one that was
 * written in one go, by the same sandbox, in turn; then again after the chain was shortened in the background.
 * `node bench/volumes/chain.ts [--generations 50]`
 */
import { parseArgs } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { quantiles, report } from "../report.ts";

const { values } = parseArgs({
  options: { generations: { type: "string", default: "50" }, json: { type: "boolean" } },
});
const generations = Number(values.generations);
const megabytes = 4;
const passes = 5;
const platform = await startPlatform({ config: { pool: { size: 1 }, logLevel: "warn" } });
Object.assign(process.env, platform.env);
const client = new Client();
const make = (slug: string) => client.volumes.create({ slug, region: "ord", capacity: "2GB" });

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

try {
  const [chain, flat] = [await make("chain"), await make("flat")];
  const volumes = { "/chain": chain.id, "/flat": flat.id };
  const sandbox = await Sandbox.create({ volumes, timeout: "29m" });
  for (let generation = 0; generation < generations; generation++) {
    await sandbox.sh`head -c ${megabytes * 1e6} /dev/urandom > /chain/${generation} && sync`;
    await client.volumes.snapshot(chain.id, { slug: `g-${generation}` });
    process.stderr.write(`\r${generation + 1} of ${generations}`);
  }
  process.stderr.write("\n");
  await sandbox.sh`cp /chain/[0-9]* /flat/ && sync`;
  const long = await compare(sandbox);
  await sandbox.kill();
  // The background work has a pass every few seconds; what it cuts is copied.
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  const again = await Sandbox.create({ volumes });
  const short = await compare(again);
  await again.kill();
  report({
    generations,
    "read of the chain, MB/s": long.chain,
    "read of a flat volume, MB/s": long.flat,
    "chain / flat": long.chain / long.flat,
    "chain / flat, after the chain was shortened": short.chain / short.flat,
  });
} finally {
  await platform.stop();
}
