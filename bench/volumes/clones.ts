/**
 * From `create` to the answer of the first command: with the default root, with a snapshot as root, with a mounted volume; in turn,
 * in one run. Then how long a snapshot takes of little and of much data. `node bench/volumes/clones.ts [--runs 15] [--large 5000]`
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { quantiles, report } from "../report.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "15" },
    large: { type: "string", default: "5000" },
    json: { type: "boolean" },
  },
});
const runs = Number(values.runs);
const largeMegabytes = Number(values.large);
const platform = await startPlatform({ config: { pool: { size: 1 }, logLevel: "warn" } });
Object.assign(process.env, platform.env);
const client = new Client();

async function pooled(): Promise<void> {
  for (let waited = 0; waited < 240_000; waited += 100) {
    const health = (await (await fetch(`${platform.env["DENO_DEPLOY_ENDPOINT"]}/healthz`)).json()) as {
      pooled: number;
    };
    if (health.pooled >= 1) break;
    await sleep(100);
  }
  // What the refill has just finished must not count against this create.
  await sleep(500);
}

async function firstExec(options: object): Promise<number> {
  await pooled();
  const started = performance.now();
  const sandbox = await Sandbox.create(options);
  await (
    await sandbox.spawn("/bin/true", { stdout: "null", stderr: "null" })
  ).status;
  const taken = performance.now() - started;
  await sandbox.kill();
  return taken;
}

/** Milliseconds of a snapshot of a mounted volume that holds this much. */
async function snapshotOf(megabytes: number): Promise<{ mounted: number; detached: number }> {
  const name = `data-${megabytes}`;
  const { id } = await client.volumes.create({
    slug: name,
    region: "ord",
    capacity: `${Math.max(300, Math.ceil(megabytes * 1.3))}MB`,
  });
  const sandbox = await Sandbox.create({ volumes: { "/data": id }, timeout: "25m" });
  await sandbox.sh`head -c ${megabytes * 1e6} < /dev/zero | tr '\\0' 'x' > /data/content; sync`;
  const timed = async (slug: string) => {
    const started = performance.now();
    await client.volumes.snapshot(id, { slug });
    return performance.now() - started;
  };
  const mounted = await timed(`${name}-mounted`);
  await sandbox.kill();
  return { mounted, detached: await timed(`${name}-detached`) };
}

try {
  const { id: rootVolume } = await client.volumes.create({
    slug: "soft",
    region: "ord",
    capacity: "5GB",
    from: "builtin:debian-13",
  });
  const setup = await Sandbox.create({ root: rootVolume });
  await setup.sh`sudo sh -c 'for i in $(seq 300); do head -c 20000 /dev/urandom > /opt/file-$i; done'`;
  await setup.kill();
  const { id: image } = await client.volumes.snapshot(rootVolume, { slug: "image" });
  const { id: data } = await client.volumes.create({ slug: "data", region: "ord", capacity: "1GB" });
  const samples = { default: [] as number[], snapshot: [] as number[], volume: [] as number[] };
  for (let index = 0; index < runs; index++) {
    samples.default.push(await firstExec({}));
    samples.snapshot.push(await firstExec({ root: image }));
    samples.volume.push(await firstExec({ volumes: { "/data": data } }));
    process.stderr.write(`\r${index + 1} of ${runs}`);
  }
  process.stderr.write("\n");
  const [plain, snapshot, volume] = [samples.default, samples.snapshot, samples.volume].map(quantiles) as [
    ReturnType<typeof quantiles>,
    ReturnType<typeof quantiles>,
    ReturnType<typeof quantiles>,
  ];
  const figures: Record<string, number> = {
    "default root, create to first exec, p50 ms": plain.p50,
    "snapshot as root, create to first exec, p50 ms": snapshot.p50,
    "mounted volume, create to first exec, p50 ms": volume.p50,
    "snapshot / default, p50": snapshot.p50 / plain.p50,
    "snapshot / default, min": snapshot.min / plain.min,
  };
  for (const megabytes of [50, largeMegabytes]) {
    const { mounted, detached } = await snapshotOf(megabytes);
    figures[`snapshot of ${megabytes} MB, mounted, ms`] = mounted;
    figures[`snapshot of ${megabytes} MB, detached, ms`] = detached;
  }
  report(figures);
} finally {
  await platform.stop();
}
