/** A clone: a machine restored from a template, with its own identity, root file system and memory, and without an owner yet. */
import { randomBytes } from "node:crypto";
import { CaissonError } from "@caisson/protocol";
import { type AgentClient, connectAgent } from "../agent/client.ts";
import { unixNanos } from "../agent/clock.ts";
import { type DiskSource, rootSerial, type Vm, type VmDriver, type VmShape } from "../driver/driver.ts";
import type { ImageManifest } from "../options.ts";
import type { Template } from "../template/store.ts";
import { linkDisk, type VolumeImages } from "../holdings/disk-links.ts";
import { Holdings, type HostResources } from "../holdings/holdings.ts";
import { createFreshRoot } from "./root-disk.ts";

export interface CloneHost extends HostResources {
  readonly driver: VmDriver;
  readonly image: ImageManifest;
}

export interface CloneWant {
  readonly shape: VmShape;
  readonly template: Template;
  /** Memory that `free` shows in the guest, MiB. */
  readonly memory: number;
  /** Nobody waits for it. */
  readonly background: boolean;
  readonly use?: CloneUse;
  /** Gets the monitor's user before the monitor starts. */
  readonly beforeStart?: (uid: number | undefined) => Promise<void>;
}

/** `save`: see `RestoreOptions.saveable`. `resume`: the template is a checkpoint of a machine that had an owner and these disks. */
export type CloneUse =
  | { readonly kind: "save" }
  | { readonly kind: "resume"; readonly disks: readonly VolumeImages[]; readonly hostname: string };

export interface Clone {
  readonly vm: Vm;
  readonly agent: AgentClient;
  readonly holdings: Holdings;
  readonly shape: VmShape;
  readonly memory: number;
  /** Ends it and gives everything back. */
  discard(): Promise<void>;
}

/** A restore takes a fraction of a second on an idle host. */
const deadline = { timeoutMs: 30_000 } as const;

/**
 * Restores a machine and lets it run. `personalized` resolves when it has its own identity and root file system.
 * @throws CaissonError
 */
export async function restoreClone(
  host: CloneHost,
  want: CloneWant,
): Promise<Clone & { readonly personalized: Promise<void> }> {
  const { template, shape, use } = want;
  const holdings = await Holdings.create(host, { shape, memory: want.memory, template: template.key });
  let vm: Vm | undefined;
  let agent: AgentClient | undefined;
  let discarding: Promise<void> | undefined;
  const end = async () => {
    agent?.end();
    await vm?.stop().catch(() => undefined);
    await holdings.giveBack();
  };
  const discard = () => (discarding ??= end());
  try {
    const place = { directory: holdings.directories.disks, uid: holdings.uid };
    const [root, disks] = await Promise.all([
      createFreshRoot(place, template.files),
      use?.kind === "resume" ? linkDisks(holdings, use.disks) : [],
      holdings.cgroup.setPriority(want.background ? "background" : "normal"),
      want.beforeStart?.(holdings.uid),
    ]);
    vm = await host.driver.restore({
      shape,
      place: {
        runDirectory: holdings.directories.run,
        disksDirectory: holdings.directories.disks,
        joinFiles: holdings.cgroup.joinFiles,
        ...(holdings.uid === undefined ? {} : { uid: holdings.uid }),
      },
      base: host.image.base,
      template: template.files,
      root,
      disks,
      saveable: use?.kind === "save",
      onProcess: (process) => holdings.update({ process }),
    });
    agent = connectAgent(vm.controlSocket);
    // What is plugged in is not saved.
    if (use?.kind !== "save") await plugMemory(host.driver, vm, template.visibleMemory, want.memory);
    await vm.resume();
    const personalized = use?.kind === "resume" ? renew(vm, agent, use.hostname) : personalize(vm, agent);
    // The caller awaits it, perhaps after another failure.
    personalized.catch(() => undefined);
    return { vm, agent, holdings, shape, memory: want.memory, discard, personalized };
  } catch (error) {
    await discard();
    throw error;
  }
}

/** The guest takes memory in whole steps; the size is rounded up. */
export async function plugMemory(driver: VmDriver, vm: Vm, visible: number, wanted: number): Promise<void> {
  const missing = Math.max(0, wanted - visible);
  const steps = Math.ceil(missing / driver.memoryGranularity);
  if (steps > 0) await vm.plugMemory(steps * driver.memoryGranularity);
}

/** Links disks that the machine has from its first moment. */
async function linkDisks(holdings: Holdings, disks: readonly VolumeImages[]): Promise<readonly DiskSource[]> {
  const place = { directory: holdings.directories.disks, uid: holdings.uid };
  // The record first: after a crash the next process then knows which images to take back.
  const entries = disks.map(({ serial, readOnly, images }) => ({ serial, root: false, readOnly, images: [images[0]] }));
  await holdings.update({ disks: entries });
  return Promise.all(disks.map((disk) => linkDisk(place, disk, disk.serial)));
}

async function personalize(vm: Vm, agent: AgentClient): Promise<void> {
  await whileItLives(vm, agent.machine.personalize({ ...individual(), rootSerial }, deadline));
}

async function renew(vm: Vm, agent: AgentClient, hostname: string): Promise<void> {
  await whileItLives(vm, agent.machine.renew({ ...individual(), hostname }, deadline));
}

/** What must differ between two machines that came from the same memory. */
function individual(): { entropy: Uint8Array; clockUnixNanos: bigint; machineId: string } {
  return {
    entropy: randomBytes(256),
    clockUnixNanos: unixNanos(),
    machineId: randomBytes(16).toString("hex"),
  };
}

async function whileItLives(vm: Vm, call: Promise<unknown>): Promise<void> {
  const died = vm.exited.then(({ detail }) => {
    throw new CaissonError("guest_error", `The sandbox ended while it started: ${detail}`);
  });
  died.catch(() => undefined);
  await Promise.race([call, died]);
}
