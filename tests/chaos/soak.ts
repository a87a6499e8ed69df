/**
 * Soak: creates, uses and kills many sandboxes, some at a time, and counts what the installation holds before and after. Exit status 1
 * when anything is left or the server has grown.
 *
 *   node tests/chaos/soak.ts [--cycles 1000] [--at-a-time 4] [--seconds 3600]
 *
 * `--seconds` ends it early: no cycle begins later than that.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Client } from "@deno/sandbox";
import { holdings, pause, processCounters } from "@caisson/testing";
import { Resident } from "./sabotage/resident.ts";
import { readStore } from "./world/store.ts";
import { World } from "./world/world.ts";

const { values } = parseArgs({
  options: {
    cycles: { type: "string", default: "1000" },
    "at-a-time": { type: "string", default: "4" },
    seconds: { type: "string", default: "86400" },
  },
});
const [cycles, atATime] = [Number(values.cycles), Number(values["at-a-time"])];
/** Cycles after which the memory is measured first: until then the server loads code and fills its caches. */
const warmUp = Math.min(100, Math.ceil(cycles / 2));
/** Bytes by which the server may be larger at the end. Between two collections its heap varies by about this much. */
const growth = 48 * 2 ** 20;

for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));

const folder = await mkdtemp(join(tmpdir(), "caisson-soak-"));
const world = await World.create({ folder, clients: [] });
const resident = new Resident(world);
const durations: number[] = [];
let next = 0;

async function cycle(number: number): Promise<void> {
  const start = performance.now();
  const sandbox = `s-${number}`;
  const volume = `v-${number}`;
  const withVolume = number % 4 === 0;
  if (withVolume) await resident.call({ op: "create-volume", volume, from: null });
  await resident.call({ op: "create", sandbox, session: number % 2 === 0, volumes: withVolume ? [volume] : [] });
  await resident.call({ op: "run", sandbox });
  await resident.call({ op: "file", sandbox });
  if (withVolume) await resident.call({ op: "record", sandbox, volume, file: `f-${number}` });
  if (number % 3 === 0) await resident.call({ op: "expose", sandbox });
  if (number % 5 === 0) await resident.call({ op: "fetch", sandbox });
  await resident.call({ op: "kill", sandbox });
  if (withVolume) await resident.call({ op: "delete-volume", volume });
  durations.push(performance.now() - start);
  world.upstream.requests.length = 0;
}

async function runTo(last: number): Promise<void> {
  const worker = async (): Promise<void> => {
    while (next < last && performance.now() < 1000 * Number(values.seconds)) await cycle(++next);
  };
  await Promise.all(Array.from({ length: atATime }, worker));
}

function files(): number {
  return ["run", "disks", "volumes"].reduce(
    (sum, name) => sum + readdirSync(join(world.home, name), { recursive: true }).length,
    0,
  );
}

/** Everything that has to be as before. Rows of ended sandboxes and their usage are history and stay. */
function count(): Record<string, number> {
  const { processes, mounts, sockets, cgroups, loopDevices } = holdings(world.home);
  const rows = readStore(world.home);
  return {
    processes: processes.length,
    mounts: mounts.length,
    sockets: sockets.length,
    "control groups": cgroups.length,
    "loop devices": loopDevices.length,
    files: files(),
    descriptors: processCounters(world.server.pid).fileDescriptors,
    "rows of live sandboxes": rows.sandboxes.filter(({ phase }) => phase !== "stopped").length,
    "rows of secrets": rows.secrets.length,
    "rows of previews": rows.previews.length,
    "rows of leases": rows.leases.length,
    "rows of volumes": rows.volumes.length,
    "rows of names": rows.slugs.length,
    "rows of layers": rows.layers.length,
  };
}

/** Milliseconds for the background work on deleted volumes, which waits for a while before it removes an image. */
const patience = 90_000;

/** Waits until the background work has nothing left to do, and connections that wait for another request are closed. */
async function settled(): Promise<{ counts: Record<string, number>; resident: number }> {
  await pause(7000);
  const end = performance.now() + patience;
  let counts = count();
  for (let former = ""; performance.now() < end; counts = count()) {
    const now = JSON.stringify(counts);
    if (now === former && counts["rows of layers"] === 0) break;
    former = now;
    await pause(1500);
  }
  return { counts, resident: processCounters(world.server.pid).residentBytes };
}

const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20);

try {
  // The first few open what the server keeps for good.
  await runTo(atATime);
  const before = await settled();
  await runTo(warmUp);
  const warm = processCounters(world.server.pid).residentBytes;
  const reporting = setInterval(() => process.stderr.write(`\r${durations.length} of ${cycles}`), 1000);
  await runTo(cycles);
  clearInterval(reporting);
  const end = processCounters(world.server.pid);
  const after = await settled();
  const sorted = durations.toSorted((a, b) => a - b);
  console.log(
    `\n${sorted.length} cycles, ${atATime} at a time, ${Math.round(sorted[Math.floor(sorted.length / 2)] ?? 0)} ms at the median`,
  );
  for (const [name, value] of Object.entries(after.counts))
    console.log(`${name.padEnd(26)}${before.counts[name]} -> ${value}`);
  console.log(
    `server's memory            after ${warmUp}: ${mebibytes(warm)} MiB, at the end: ${mebibytes(end.residentBytes)} MiB, at rest: ${mebibytes(after.resident)} MiB, largest: ${mebibytes(end.peakResidentBytes)} MiB`,
  );
  const left = Object.entries(after.counts).filter(([name, value]) => value > (before.counts[name] ?? 0));
  const still = (await Array.fromAsync(await new Client().sandboxes.list())).filter(
    ({ status }) => status === "running",
  );
  const grown = after.resident > warm + growth;
  if (left.length > 0) console.log(`Left behind: ${left.map(([name]) => name).join(", ")}`);
  if (still.length > 0) console.log(`Still running in the list: ${still.length}`);
  if (grown) console.log(`The server grew by ${mebibytes(after.resident - warm)} MiB.`);
  if (left.length > 0 || still.length > 0 || grown) process.exitCode = 1;
} finally {
  const problems = await world.close();
  for (const problem of problems) console.log(problem);
  if (problems.length > 0) process.exitCode = 1;
  await rm(folder, { recursive: true, force: true });
}
