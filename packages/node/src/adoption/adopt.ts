/** After a start: adopts the machines of an earlier process, and removes everything else that it left. */
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError, type EgressGuard, type WantedMachine } from "@caisson/protocol";
import type { Logger } from "pino";
import { type AgentClient, connectAgent } from "../agent/client.ts";
import type { Jail, VmDriver } from "../driver/driver.ts";
import { Holdings, type HostResources } from "../holdings/holdings.ts";
import { RunningMachine } from "../machine/machine.ts";
import { giveBackUnrecorded, reclaimLinks } from "../holdings/unrecorded.ts";
import type { ImageManifest } from "../options.ts";
import { machineDirectories } from "../runtime/directories.ts";
import { type MachineRecord, readNewerRecord, readRecord } from "../runtime/machine-record.ts";
import { isAlive, killWithChildren } from "@caisson/linux";
import { LeftMachine } from "./left.ts";
import { verifyGuest } from "./verify.ts";

export interface AdoptOptions {
  readonly host: HostResources & { readonly driver: VmDriver; readonly image: Pick<ImageManifest, "agentVersion"> };
  readonly egress: Pick<EgressGuard, "attach">;
  readonly wanted: readonly WantedMachine[];
  /** Milliseconds, see `RunningMachineOptions.flushMs`. */
  readonly flushMs: number;
  readonly onEnd: (id: string) => Promise<void>;
  readonly log: Logger;
}

/**
 * Whoever owns the machines has this long to wait for their ends, so that it learns the reason of each. Milliseconds.
 */
const verifyAfterMs = 2000;

interface Adopted {
  readonly machine: RunningMachine;
  readonly agent: AgentClient;
  /** See its record. */
  readonly ending: boolean;
}

export interface Adoption {
  readonly machines: readonly RunningMachine[];
  /** Machines whose records a newer version wrote. */
  readonly left: readonly LeftMachine[];
  readonly reclaimed: readonly string[];
  /** Ends those whose guests are not what this process can work with. To be called when the node has started. */
  readonly verify: () => void;
}

export async function adoptMachines(options: AdoptOptions): Promise<Adoption> {
  const { host, log } = options;
  const adopted: Adopted[] = [];
  const left: LeftMachine[] = [];
  const reclaimed: string[] = [];
  const kept = new Set<string>();
  const jails = await jailsOf(host);
  await Promise.all(
    (await readdir(host.directories.run)).map(async (key) => {
      const directories = machineDirectories(host.directories, key);
      const record = await readRecord(directories.run);
      const found = record === undefined ? undefined : await adopt(options, record);
      if (found !== undefined) {
        adopted.push(found);
        kept.add(key);
        jails.delete(key);
        return;
      }
      const newer = record === undefined ? await leave(options, key) : undefined;
      if (newer !== undefined) {
        left.push(newer);
        kept.add(key);
        jails.delete(key);
        return;
      }
      try {
        await endJails(jails.get(key));
        jails.delete(key);
        if (record === undefined) await giveBackUnrecorded(host, key);
        else await Holdings.open(host, record).giveBack();
        reclaimed.push(record?.machineId ?? key);
      } catch (error) {
        log.error({ err: error, key }, "a machine of an earlier process was not removed");
        kept.add(key);
      }
    }),
  );
  reclaimed.push(...(await reclaimStrays(options, kept, jails)));
  return {
    machines: adopted.map(({ machine }) => machine),
    left,
    reclaimed,
    verify: () => {
      for (const found of adopted) void verify(options, found);
    },
  };
}

async function verify({ host, flushMs, log }: AdoptOptions, { machine, agent, ending }: Adopted): Promise<void> {
  await sleep(verifyAfterMs, undefined, { ref: false });
  const { agentVersion } = host.image;
  const stalled = () => machine.stalled();
  const reason = ending
    ? "Its end had begun when the former server ended."
    : await verifyGuest({ id: machine.id, agent, agentVersion, stalled, log });
  if (reason !== undefined) await machine.evict(reason, { flushMs });
}

/** A machine that runs, is wanted, and whose record is of a newer version. */
async function leave({ host, wanted, log }: AdoptOptions, key: string): Promise<LeftMachine | undefined> {
  const record = await readNewerRecord(machineDirectories(host.directories, key).run);
  const { machineId: id, process } = record ?? {};
  if (record === undefined || id === undefined || process === undefined) return undefined;
  if (!wanted.some((candidate) => candidate.id === id) || !(await isAlive(process))) return undefined;
  log.error(
    { machine: id, pid: process.pid, version: record.version },
    "a machine of a newer version of Caisson is left running; it can be used again when a newer server runs, and only be ended by this one",
  );
  host.users.reserve(record.uid);
  return new LeftMachine({ id, key, process, host });
}

/** The jails of this installation by machine. */
async function jailsOf({ driver, directories }: AdoptOptions["host"]): Promise<Map<string, Jail[]>> {
  const ours = (await driver.findJails()).filter(({ disksDirectory }) => dirname(disksDirectory) === directories.disks);
  return Map.groupBy(ours, ({ disksDirectory }) => basename(disksDirectory));
}

/** A record that was not written yet, or cannot be read, names no process. */
async function endJails(jails: readonly Jail[] = []): Promise<void> {
  for (const { process } of jails) {
    if (!(await killWithChildren(process)))
      throw new CaissonError("internal", `The jail of a sandbox, process ${process.pid}, cannot be killed.`);
  }
}

/** Removes monitors, control groups and disks without a runtime directory. */
async function reclaimStrays(
  { host, log }: AdoptOptions,
  kept: ReadonlySet<string>,
  jails: ReadonlyMap<string, readonly Jail[]>,
): Promise<readonly string[]> {
  const strays: string[] = [];
  for (const [key, found] of jails) {
    if (kept.has(key)) continue;
    await endJails(found).catch((error: unknown) => log.error({ err: error, key }, "a stray monitor was not ended"));
    strays.push(key);
  }
  for (const name of await host.cgroups.list(host.groupPrefix)) {
    const key = name.slice(host.groupPrefix.length);
    if (kept.has(key)) continue;
    await host.cgroups.named(name).destroy();
    if (!strays.includes(key)) strays.push(key);
  }
  for (const key of await readdir(host.directories.disks)) {
    if (kept.has(key)) continue;
    await reclaimLinks(join(host.directories.disks, key));
    await rm(join(host.directories.disks, key), { recursive: true, force: true });
    if (!strays.includes(key)) strays.push(key);
  }
  return strays;
}

/**
 * The guest need not answer: a machine that is paused because the disk is full cannot, see `verifyGuest`.
 * @returns undefined when the machine is not wanted or not alive
 */
async function adopt(options: AdoptOptions, record: MachineRecord): Promise<Adopted | undefined> {
  const { host, log } = options;
  const { machineId: id, process } = record;
  if (record.phase !== "claimed" || id === undefined || process === undefined) return undefined;
  const wanted = options.wanted.find((candidate) => candidate.id === id);
  if (wanted === undefined) return undefined;
  if (!(await isAlive(process))) return undefined;
  const directories = machineDirectories(host.directories, record.key);
  try {
    const vm = await host.driver.adopt({ runDirectory: directories.run, disksDirectory: directories.disks }, process);
    const agent = connectAgent(vm.controlSocket);
    let caCertificatePem: string | undefined;
    try {
      caCertificatePem = await attachEgress(options, wanted, vm.egressSocket);
    } catch (error) {
      agent.end();
      vm.release();
      throw error;
    }
    const holdings = Holdings.open(host, record);
    const machine = new RunningMachine({
      id,
      owner: wanted.owner,
      flushMs: options.flushMs,
      vm,
      agent,
      holdings,
      caCertificatePem,
      onEnd: () => options.onEnd(id),
      log,
    });
    return { machine, agent, ending: record.ending === true };
  } catch (error) {
    log.warn({ err: error, machine: id }, "adopting a running machine failed; it is ended");
    return undefined;
  }
}

/** Without its policy a machine gets no network: nobody serves its egress port. */
export async function attachEgress(
  { egress, log }: Pick<AdoptOptions, "egress" | "log">,
  { id, egress: wanted }: WantedMachine,
  socketPath: string,
): Promise<string | undefined> {
  if (wanted === undefined) return undefined;
  try {
    return (await egress.attach({ sandboxId: id, socketPath, ...wanted })).caCertificatePem;
  } catch (error) {
    log.error(
      { err: error, machine: id },
      "an adopted machine has no network, because its egress policy could not be applied",
    );
    return undefined;
  }
}
