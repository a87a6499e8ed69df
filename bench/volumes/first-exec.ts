/** From `create` to the end of the first command, with a clone from the pool. */
import { setTimeout as sleep } from "node:timers/promises";
import { Sandbox, type SandboxOptions } from "@deno/sandbox";
import { until } from "@caisson/testing";
import { quantiles } from "../report.ts";

/** The goal: a snapshot as root against the default root. */
export const maxRatio = 1.5;

/**
 * Waits until the pool is as it is when nothing was asked for in the last seconds: demand raises its target, and a machine that is
 * being made then takes the processors from what is measured.
 * @param standing at least so many machines stand on a snapshot
 */
async function refilled(standing: number): Promise<void> {
  await until(
    240_000,
    "machines that are ready",
    async () => {
      const text = await (await fetch(`${process.env["DENO_DEPLOY_ENDPOINT"]}/metrics`)).text();
      const gauge = (name: string) => Number(new RegExp(`^caisson_pool_${name} (\\d+)$`, "m").exec(text)?.[1]);
      return gauge("machines") > 0 && gauge("machines") >= gauge("target") && gauge("standing") >= standing;
    },
    100,
  );
  // What the refill has just finished must not count against this create.
  await sleep(500);
}

/** Milliseconds. */
async function firstExec(options: SandboxOptions, standing: number): Promise<number> {
  await refilled(standing);
  const started = performance.now();
  const sandbox = await Sandbox.create(options);
  const child = await sandbox.spawn("/bin/true", { stdout: "null", stderr: "null" });
  await child.status;
  const taken = performance.now() - started;
  await sandbox.kill();
  return taken;
}

export interface Comparison {
  readonly figures: Record<string, number>;
  /** Of the medians. */
  readonly ratio: number;
}

/**
 * Several kinds of sandboxes in turn, the first of which is what the second is compared with. Each is used once before.
 * @param standing how many machines stand on the snapshot then: as `pool.standing`, 0 or 1
 */
export async function compareFirstExec(
  runs: number,
  kinds: Readonly<Record<string, SandboxOptions>>,
  standing = 1,
): Promise<Comparison> {
  for (const options of Object.values(kinds)) await firstExec(options, 0);
  const samples = new Map(Object.keys(kinds).map((name) => [name, [] as number[]]));
  for (let index = 0; index < runs; index++) {
    for (const [name, options] of Object.entries(kinds)) samples.get(name)!.push(await firstExec(options, standing));
    process.stderr.write(`\r${index + 1} of ${runs}`);
  }
  process.stderr.write("\n");
  const all = [...samples].map(([name, taken]) => [name, quantiles(taken)] as const);
  const [plain, other] = all.map(([, quantile]) => quantile);
  const ratio = other!.p50 / plain!.p50;
  return {
    ratio,
    figures: {
      ...Object.fromEntries(all.map(([name, { p50 }]) => [`${name}, create to first exec, p50 ms`, p50])),
      "snapshot / default, p50": ratio,
      "snapshot / default, min": other!.min / plain!.min,
    },
  };
}
