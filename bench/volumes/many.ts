/**
 * 100 volumes by 8 clients at once: each creates one, mounts and writes it in a sandbox, snapshots it while it is mounted, makes a
 * volume from the snapshot, and deletes all in random order. Afterwards store and disk agree and nothing is left. `node bench/volumes/many.ts [--volumes 100] [--clients 8]`
 */
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client, Sandbox } from "@deno/sandbox";
import { startPlatform, until } from "@caisson/testing";
import { quantiles, report } from "../report.ts";

const { values } = parseArgs({
  options: {
    volumes: { type: "string", default: "100" },
    clients: { type: "string", default: "8" },
    json: { type: "boolean" },
  },
});
const total = Number(values.volumes);
const clients = Number(values.clients);
const home = await mkdtemp(join(tmpdir(), "csn-"));
const limits = { maxCount: total * 4, maxBytes: total * 2e9, reclaimAfter: 0 };
const platform = await startPlatform({ home, config: { pool: { size: 0 }, volumes: limits, logLevel: "warn" } });
Object.assign(process.env, platform.env);
const samples: Record<string, number[]> = {
  create: [],
  attach: [],
  snapshot: [],
  "create from snapshot": [],
  delete: [],
};

async function timed<T>(what: string, action: Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await action;
  samples[what]!.push(performance.now() - started);
  return result;
}

async function work(number: number): Promise<void> {
  const client = new Client();
  for (let index = number; index < total; index += clients) {
    const name = `v-${index}`;
    const volume = await timed("create", client.volumes.create({ slug: name, region: "ord", capacity: "500MB" }));
    if ((await client.volumes.get(name))?.id !== volume.id) throw new Error(`${name} is not what was made`);
    const sandbox = await timed(
      "attach",
      Sandbox.create({ volumes: { "/data": volume.id }, memory: "768MiB", timeout: "20m" }),
    );
    await sandbox.sh`echo ${name} > /data/name`;
    const snapshot = await timed("snapshot", client.volumes.snapshot(volume.id, { slug: `${name}-s` }));
    await sandbox.kill();
    const options = { slug: `${name}-c`, region: "ord" as const, capacity: "500MB" as const, from: snapshot.id };
    const copy = await timed("create from snapshot", client.volumes.create(options));
    const deletes = [
      () => client.volumes.delete(volume.id),
      () => client.volumes.delete(copy.id),
      () => client.snapshots.delete(snapshot.id),
    ];
    for (const step of deletes.toSorted(() => Math.random() - 0.5)) await timed("delete", step());
  }
}

try {
  const started = performance.now();
  await Promise.all(Array.from({ length: clients }, (_, number) => work(number)));
  const seconds = (performance.now() - started) / 1000;
  const images = join(home, "volumes", "layers");
  await until(180_000, "the images to be gone", () => readdirSync(images).length === 0);
  const tool = join(import.meta.dirname, "../../packages/platform/src/volumes.ts");
  const check = execFileSync(process.execPath, [tool, "check"], {
    env: { ...process.env, CAISSON_HOME: home },
    encoding: "utf8",
  });
  report({
    "volumes, snapshots, copies": total,
    clients,
    "seconds for all": seconds,
    ...Object.fromEntries(
      Object.entries(samples).flatMap(([what, all]) => [
        [`${what}, p50 ms`, quantiles(all).p50],
        [`${what}, p99 ms`, quantiles(all).p99],
      ]),
    ),
    check: check.trim(),
  });
} finally {
  await platform.stop();
  await rm(home, { recursive: true, force: true });
}
