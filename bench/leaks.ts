/**
 * Creates, uses and kills sandboxes, some at a time, and counts what the host holds before and after: processes, mounts, sockets,
 * control groups, files below the home, and the server's own file descriptors. Ends with status 1 when anything is left.
 * `node bench/leaks.ts [--sandboxes 100] [--at-a-time 4]`
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { holdings, pause, processCounters, startPlatform, until } from "@caisson/testing";
import { quantiles, report } from "./report.ts";

const { values } = parseArgs({
  options: {
    sandboxes: { type: "string", default: "100" },
    "at-a-time": { type: "string", default: "4" },
    json: { type: "boolean" },
  },
});
const wanted = Number(values.sandboxes);

// A pool refills in its own time; without one, everything that is there belongs to a sandbox.
const platform = await startPlatform({ config: { pool: { size: 0 }, logLevel: "warn" } });
Object.assign(process.env, platform.env);

type Counts = Record<string, number>;

function count(): Counts {
  const held = holdings(platform.home);
  const machines = ["run", "disks"].flatMap((name) => entries(join(platform.home, name)));
  return {
    processes: held.processes.length,
    mounts: held.mounts.length,
    sockets: held.sockets.length,
    "control groups": held.cgroups.length,
    "loop devices": held.loopDevices.length,
    "files of machines": machines.length,
    "server's file descriptors": processCounters(platform.pid).fileDescriptors,
  };
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: "utf8" });
  } catch {
    return [];
  }
}

const samples: number[] = [];

async function one(index: number): Promise<void> {
  const start = performance.now();
  const sandbox = await Sandbox.create();
  const text = (await sandbox.sh`echo ${String(index)}`.text()).trim();
  if (text !== String(index)) throw new Error(`sandbox ${index} said ${JSON.stringify(text)}`);
  await sandbox.fs.writeTextFile("/home/app/used", text);
  await sandbox.kill();
  samples.push(performance.now() - start);
  process.stderr.write(`\r${samples.length} of ${wanted}`);
}

async function rounds(total: number): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < total) await one(next++);
  };
  await Promise.all(Array.from({ length: Number(values["at-a-time"]) }, worker));
}

try {
  // The first few open what the server keeps for good: its database's files, its connections to the proxy.
  await rounds(Number(values["at-a-time"]));
  const settled = async (): Promise<Counts> => {
    // The client's connections that wait for another request are closed within 5 s, by either side.
    await pause(7000);
    let last = "";
    return until(60_000, "counters that stand still", async () => {
      await pause(1000);
      const counts = count();
      const same = JSON.stringify(counts) === last;
      last = JSON.stringify(counts);
      return same ? counts : undefined;
    });
  };
  const before = await settled();
  samples.length = 0;
  await rounds(wanted);
  const after = await settled();
  process.stderr.write("\n");
  const left = Object.entries(after).filter(([name, value]) => value > (before[name] ?? 0));
  report({
    sandboxes: wanted,
    "create, use and kill, p50 ms": quantiles(samples).p50,
    ...Object.fromEntries(
      Object.entries(after).map(([name, value]) => [`${name}, before/after`, `${before[name]}/${value}`]),
    ),
  });
  if (left.length > 0) {
    console.error(`Left behind: ${left.map(([name, value]) => `${name} ${before[name]} -> ${value}`).join(", ")}`);
    process.exitCode = 1;
  }
} finally {
  await platform.stop();
}
