/**
 * From `create` to the answer of the first command, by the official client: restored, and from the pool; against a cold boot of
 * the same kernel and image by plain QEMU. All in one run, in turn. `node bench/boot.ts [--runs 30] [--cold-runs 5]`
 */
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform, type PlatformProcess } from "@caisson/testing";
import { coldBoot, currentImage } from "./cold-boot.ts";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "30" },
    "cold-runs": { type: "string", default: "5" },
    json: { type: "boolean" },
  },
});

async function firstExec(): Promise<number> {
  const started = performance.now();
  const sandbox = await Sandbox.create();
  await (
    await sandbox.spawn("/bin/true", { stdout: "null", stderr: "null" })
  ).status;
  const taken = performance.now() - started;
  await sandbox.kill();
  return taken;
}

async function pooled(platform: PlatformProcess): Promise<number> {
  for (let waited = 0; waited < 60_000; waited += 100) {
    const metrics = await (await fetch(`${platform.env["DENO_DEPLOY_ENDPOINT"]}/metrics`)).text();
    if (Number(/^caisson_pool_machines(?:\{[^}]*\})? (\d+)/m.exec(metrics)?.[1] ?? 0) >= 1) break;
    await sleep(100);
  }
  // What the refill has just finished must not count against this create.
  await sleep(500);
  return firstExec();
}

const runs = Number(values.runs);
const image = await currentImage();
const samples = { cold: [] as number[], restored: [] as number[], pooled: [] as number[] };
const withoutPool = await startPlatform({ config: { pool: { size: 0 }, logLevel: "warn" } });
const withPool = await startPlatform({ config: { pool: { size: 1 }, logLevel: "warn" } });
const accelerator = /\((kvm|tcg)/.exec(withPool.output())?.[1] === "kvm" ? "kvm" : "tcg";
try {
  for (let index = 0; index < runs; index++) {
    Object.assign(process.env, withPool.env);
    samples.pooled.push(await pooled(withPool));
    // The pool refills now; the restore must not share the processors with it.
    await sleep(3000);
    Object.assign(process.env, withoutPool.env);
    samples.restored.push(await firstExec());
    if (index < Number(values["cold-runs"])) samples.cold.push(await coldBoot(image, accelerator));
    process.stderr.write(`\r${index + 1} of ${runs}`);
  }
  process.stderr.write("\n");
} finally {
  await Promise.all([withPool.stop(), withoutPool.stop()]);
}
const cold = quantiles(samples.cold);
const restored = quantiles(samples.restored);
const fromPool = quantiles(samples.pooled);
report({
  accelerator,
  "cold boot to first exec, p50 ms": cold.p50,
  "cold boot to first exec, max ms": cold.max,
  "restored, create to first exec, p50 ms": restored.p50,
  "restored, create to first exec, p99 ms": restored.p99,
  "from the pool, create to first exec, p50 ms": fromPool.p50,
  "from the pool, create to first exec, p99 ms": fromPool.p99,
  "cold / restored, p50": cold.p50 / restored.p50,
  "cold / pool, p50": cold.p50 / fromPool.p50,
});
