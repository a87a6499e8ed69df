/**
 * Many creates at once without a pool, by the official client: when the first, the median and the last are ready, and how many were
 * refused. `node bench/burst.ts [--creates 30] [--memory 768] [--patience 120]`; patience is `sandbox.startPatience`, seconds.
 */
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    creates: { type: "string", default: "30" },
    memory: { type: "string", default: "768" },
    patience: { type: "string", default: "120" },
    json: { type: "boolean" },
  },
});
const creates = Number(values.creates);
const platform = await startPlatform({
  config: {
    pool: { size: 0 },
    sandbox: { startPatience: Number(values.patience), memoryOvercommit: 20 },
    limits: { developmentConcurrentSandboxes: creates + 1 },
    logLevel: "warn",
  },
});
Object.assign(process.env, platform.env);
const ready: number[] = [];
const refused: number[] = [];
let began = performance.now();

async function create(): Promise<Sandbox> {
  try {
    const sandbox = await Sandbox.create({ memory: `${Number(values.memory)}MiB` });
    ready.push(performance.now() - began);
    return sandbox;
  } catch (error) {
    refused.push(performance.now() - began);
    throw error;
  }
}

try {
  // One alone first: files of the template are then in memory, as on a node that runs.
  await (await create()).kill();
  began = performance.now();
  await (await create()).kill();
  const aloneMs = ready.at(-1)!;
  ready.length = 0;
  began = performance.now();
  const made = await Promise.allSettled(Array.from({ length: creates }, create));
  const sandboxes = made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  await Promise.all(sandboxes.map((sandbox) => sandbox.kill()));
  const sorted = ready.toSorted((a, b) => a - b);
  report({
    "one alone, ms": aloneMs,
    "first ready, ms": sorted[0] ?? Number.NaN,
    "median ready, ms": quantiles(ready).p50,
    "last ready, ms": sorted.at(-1) ?? Number.NaN,
    refused: refused.length,
    "last refusal, ms": Math.max(0, ...refused),
  });
} finally {
  await platform.stop(60_000);
}
