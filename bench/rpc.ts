/**
 * Small calls: 200 in flight over 50 connections to one sandbox, and one at a time. Every answer is checked: the files that are
 * asked for all differ. `node bench/rpc.ts [--calls 20000]`
 */
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { startPlatform } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({ options: { calls: { type: "string", default: "20000" }, json: { type: "boolean" } } });
const calls = Number(values.calls);
const connections = 50;
const inFlight = 200;
const files = 97;

const pathOf = (number: number): string => `/tmp/file-${number % files}`;
const textOf = (number: number): string => `${number % files} `.repeat(1 + (number % files));

async function stat(sandbox: Sandbox, number: number): Promise<void> {
  const { size } = await sandbox.fs.stat(pathOf(number));
  if (size !== textOf(number).length) throw new Error(`call ${number}: ${size} bytes`);
}

async function readTextFile(sandbox: Sandbox, number: number): Promise<void> {
  const text = await sandbox.fs.readTextFile(pathOf(number));
  if (text !== textOf(number)) throw new Error(`call ${number}: ${JSON.stringify(text)}`);
}

const platform = await startPlatform({ config: { pool: { size: 1 } } });
Object.assign(process.env, platform.env);

async function timed(call: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await call();
  return performance.now() - start;
}

try {
  const first = await Sandbox.create({ timeout: "30m" });
  const all = [first, ...(await Promise.all(Array.from({ length: connections - 1 }, () => Sandbox.connect(first.id))))];
  for (let number = 0; number < files; number++) await first.fs.writeTextFile(pathOf(number), textOf(number));
  for (const call of [stat, readTextFile]) {
    const { name } = call;
    const alone: number[] = [];
    for (let index = 0; index < 300; index++) alone.push(await timed(() => call(first, index)));
    const one = quantiles(alone.slice(50));
    report({ [`${name} alone, p50 ms`]: one.p50, [`${name} alone, p99 ms`]: one.p99 });
    const samples: number[] = [];
    const start = performance.now();
    let left = calls;
    await Promise.all(
      Array.from({ length: inFlight }, async (_, index) => {
        const sandbox = all[index % connections]!;
        while (left > 0) {
          const number = left--;
          samples.push(await timed(() => call(sandbox, number)));
        }
      }),
    );
    const together = quantiles(samples);
    report({
      [`${name}, ${inFlight} in flight, p50 ms`]: together.p50,
      [`${name}, ${inFlight} in flight, p99 ms`]: together.p99,
      [`${name}, calls a second`]: samples.length / ((performance.now() - start) / 1000),
    });
  }
  await first.kill();
} finally {
  await platform.stop();
}
