/** Looks at an installation: store, processes, files, control groups, API. Changes nothing. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "@deno/sandbox";
import { isAlive, processCounters, type HostProcess } from "@caisson/testing";
import type { Observation, ServerState } from "../validators/observation.ts";
import { egressWorkers, entries, groupKeys, machineFiles, monitors } from "./machines.ts";
import { readStore } from "./store.ts";
import { limits, type World } from "./world.ts";

/** Workers that were seen below any server of this process. */
const seenWorkers = new Map<number, HostProcess>();

export async function observe(world: World): Promise<Observation> {
  const { home } = world;
  const [health, listed] = await Promise.all([healthOf(world), listSandboxes()]);
  return {
    at: Date.now(),
    server: serverState(world),
    rows: readStore(home),
    machines: machineFiles(home),
    monitors: Object.fromEntries([...monitors(home)].map(([key, found]) => [key, found.length])),
    diskDirectories: entries(join(home, "disks")),
    groups: groupKeys(home),
    layerFiles: entries(join(home, "volumes/layers")),
    blobs: blobs(join(home, "volumes/blobs")),
    mounts: mountsBelow(home),
    health,
    listed,
    limits: { sandboxes: limits.sandboxes, volumes: limits.volumes, volumeBytes: limits.volumeBytes },
  };
}

function serverState({ server }: World): ServerState {
  const { unexpected: unexpectedEnds, running } = server;
  const workers = running ? egressWorkers(server.pid) : [];
  for (const worker of workers) seenWorkers.set(worker.pid, worker);
  const own = workers.map(({ pid }) => pid);
  const strayWorkers = [...seenWorkers.values()].filter((worker) => !own.includes(worker.pid) && isAlive(worker));
  return {
    running,
    unexpectedEnds: [...unexpectedEnds],
    ...(running
      ? processCounters(server.pid)
      : { residentBytes: 0, peakResidentBytes: 0, fileDescriptors: 0, children: 0 }),
    workers: own,
    strayWorkers: strayWorkers.map(({ pid }) => pid),
  };
}

async function healthOf({ ports }: World): Promise<Observation["health"]> {
  try {
    const answer = await fetch(`http://127.0.0.1:${ports.api}/healthz`, { signal: AbortSignal.timeout(5_000) });
    const body = (await answer.json()) as { machines: number; pooled: number };
    return answer.ok ? { machines: body.machines, pooled: body.pooled } : `status ${answer.status}`;
  } catch (error) {
    return String(error);
  }
}

async function listSandboxes(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  try {
    for (const { id, status } of await new Client().sandboxes.list()) found[id] = status;
  } catch (error) {
    found["error"] = String(error);
  }
  return found;
}

function blobs(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name);
  } catch {
    return [];
  }
}

function mountsBelow(home: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((point) => point.startsWith(`${home}/`));
}
