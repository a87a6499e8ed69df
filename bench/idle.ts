/**
 * What sandboxes that do nothing cost the host: their monitors' share of its memory (PSS, where memory that several processes map is
 * split among them) and of a processor. `node bench/idle.ts [--sandboxes 10] [--seconds 60] [--pooled]`
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { descendants, startPlatform, until } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    sandboxes: { type: "string", default: "10" },
    seconds: { type: "string", default: "60" },
    pooled: { type: "boolean", default: false },
    json: { type: "boolean" },
  },
});
/** The kernel's clock for process times, see proc(5); 100 on every Linux that Node runs on. */
const ticksASecond = 100;
/** Page cache is written back and the guests' start has ended. */
const settleMs = 20_000;

const platform = await startPlatform({ config: { pool: { size: values.pooled ? 1 : 0 }, logLevel: "warn" } });
Object.assign(process.env, platform.env);
try {
  const sandboxes: Sandbox[] = [];
  for (let index = 0; index < Number(values.sandboxes); index++) {
    if (values.pooled) await pooledClone();
    const sandbox = await Sandbox.create({ timeout: "30m" });
    await sandbox.sh`true`;
    sandboxes.push(sandbox);
    process.stderr.write(`\r${index + 1} of ${values.sandboxes}`);
  }
  await sleep(settleMs);
  const before = new Map(
    descendants(platform.pid)
      .filter(({ command }) => /^\S*qemu-system/.test(command))
      .map(({ pid }) => [pid, ticks(pid)]),
  );
  await sleep(Number(values.seconds) * 1000);
  // A pool gives clones back when demand ebbs. What waits in it does nothing, too.
  const monitors = descendants(platform.pid).filter(({ pid }) => before.has(pid));
  if (monitors.length < sandboxes.length) throw new Error(`${monitors.length} monitors of ${sandboxes.length}`);
  const used = monitors.map(({ pid }) => ticks(pid) - (before.get(pid) ?? 0));
  const processor = quantiles(used.map((count) => (count / ticksASecond / Number(values.seconds)) * 100));
  const memory = monitors.map(({ pid }) => rollup(pid));
  process.stderr.write("\n");
  report({
    sandboxes: sandboxes.length,
    "PSS each, mean MiB": mean(memory.map(({ pss }) => pss)),
    "PSS each, largest MiB": quantiles(memory.map(({ pss }) => pss)).max,
    "of it anonymous, mean MiB": mean(memory.map(({ anonymous }) => anonymous)),
    "processor each, mean %": used.reduce((a, b) => a + b, 0) / used.length / Number(values.seconds),
    "processor each, largest %": processor.max,
  });
  await Promise.all(sandboxes.map((sandbox) => sandbox.kill()));
} finally {
  await platform.stop();
}

async function pooledClone(): Promise<void> {
  await until(60_000, "a clone in the pool", async () => {
    const metrics = await (await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/metrics`)).text();
    return Number(/^caisson_pool_machines(?:\{[^}]*\})? (\d+)/m.exec(metrics)?.[1] ?? 0) >= 1;
  });
}

function mean(samples: readonly number[]): number {
  return samples.reduce((a, b) => a + b, 0) / samples.length;
}

function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

function rollup(pid: number): { pss: number; anonymous: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const mebibytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) / 1024;
  return { pss: mebibytes("Pss"), anonymous: mebibytes("Anonymous") };
}
