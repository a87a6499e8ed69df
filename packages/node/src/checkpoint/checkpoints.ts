/** Saves machines as checkpoints, and starts others from them. */
import { link } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CaissonError,
  type CheckpointId,
  type CheckpointInfo,
  type EgressGuard,
  type MachineSpec,
  type NodeCheckpoints,
} from "@caisson/protocol";
import type { Logger } from "pino";
import { rootSerial, type TemplateFiles } from "../driver/driver.ts";
import type { VolumeImages } from "../holdings/disk-links.ts";
import type { Clone } from "../machine/clone.ts";
import type { Clones } from "../pool/clones.ts";
import { type Checkpoint, type CheckpointStore, writtenName } from "./store.ts";

/** The guest must have noticed that its connections are closed, or each resumed machine would first have to. Milliseconds. */
const settleMs = 1_000;
/** For the saved machine to end and to give back what it held. Milliseconds. */
const endDeadlineMs = 60_000;

interface Draft {
  readonly clone: Clone;
  readonly files: TemplateFiles;
  readonly spec: MachineSpec;
  saving: boolean;
}

type StartedClone = Clone & { readonly personalized: Promise<void> };

export interface CheckpointsOptions {
  readonly store: CheckpointStore;
  /** @throws CaissonError `unavailable` when the node does not run */
  readonly clones: () => Clones;
  readonly egress: Pick<EgressGuard, "detach">;
  /** Resolves when a machine has ended and given everything back. @throws the reason of the signal */
  readonly exited: (machineId: string, signal: AbortSignal) => Promise<unknown>;
  readonly log: Logger;
}

export class Checkpoints implements NodeCheckpoints {
  readonly #options: CheckpointsOptions;
  /** Machines that can be saved. */
  readonly #drafts = new Map<string, Draft>();

  constructor(options: CheckpointsOptions) {
    this.#options = options;
  }

  /** Starts a machine that can be saved: its memory is a file of its own. @throws CaissonError */
  async start(spec: MachineSpec, signal?: AbortSignal): Promise<StartedClone> {
    refuseVolumes(spec);
    const { store, log } = this.#options;
    const clones = this.#options.clones();
    const shape = clones.shape(spec.vcpus, spec.memory);
    const template = await clones.template(shape, signal);
    const files = await store.draft(template.files);
    try {
      const clone = await clones.restoreFrom(
        { ...template, files },
        { shape, memory: spec.memory, beforeStart: (uid) => store.handOver(files, uid), use: { kind: "save" } },
      );
      this.#drafts.set(spec.id, { clone, files, spec, saving: false });
      void clone.vm.exited.then(() => {
        const draft = this.#drafts.get(spec.id);
        if (draft?.clone !== clone || draft.saving) return;
        this.#drafts.delete(spec.id);
        void store.discard(files).catch((error: unknown) => log.error({ err: error }, "a draft was not removed"));
      });
      return clone;
    } catch (error) {
      await store.discard(files);
      throw error;
    }
  }

  /** Starts a machine from a checkpoint. @param images of the disks of `spec` @throws CaissonError `not_found` when none fits */
  async resume(spec: MachineSpec, id: CheckpointId, images: readonly VolumeImages[]): Promise<StartedClone> {
    refuseVolumes(spec);
    const found = await this.#fitting(id);
    const serials = images.map(({ serial }) => serial);
    const { memory, vcpus } = found ?? {};
    if (found === undefined || memory !== spec.memory || vcpus !== spec.vcpus || found.images.join() !== serials.join())
      throw new CaissonError("not_found", `There is no checkpoint ${id} for such a machine.`);
    const clones = this.#options.clones();
    const shape = clones.shape(spec.vcpus, spec.memory);
    const { key, files, visibleMemory } = found;
    const use = { kind: "resume", disks: images, hostname: spec.hostname } as const;
    const clone = await clones.restoreFrom({ key, files, visibleMemory }, { shape, memory: spec.memory, use });
    await this.#options.store.touch(id);
    return clone;
  }

  async save(machineId: string, note: string): Promise<CheckpointInfo> {
    const draft = this.#drafts.get(machineId);
    const id = draft?.spec.checkpoint?.id;
    if (draft === undefined || id === undefined || draft.saving)
      throw new CaissonError("not_found", `There is no machine ${machineId} that can be saved.`);
    draft.saving = true;
    const { store, egress, exited } = this.#options;
    const { clone, files, spec } = draft;
    try {
      await egress.detach(machineId);
      clone.agent.end();
      await sleep(settleMs);
      await clone.vm.pause();
      await link(join(clone.holdings.directories.disks, `${rootSerial}.0`), join(files.directory, writtenName));
      await clone.vm.save();
      await clone.vm.stop();
      await exited(machineId, AbortSignal.timeout(endDeadlineMs));
      const { key, visibleMemory } = await this.#options.clones().template(clone.shape);
      const facts = { key, visibleMemory, memory: spec.memory, vcpus: spec.vcpus, note, madeAt: now() };
      const serials = (spec.images ?? []).map(({ serial }) => serial);
      return (await store.commit(id, files, { ...facts, images: serials })).info;
    } finally {
      this.#drafts.delete(machineId);
      try {
        // It may not run on: what it writes would change the draft.
        await clone.vm.stop();
      } finally {
        await store.discard(files);
      }
    }
  }

  async find(id: CheckpointId): Promise<CheckpointInfo | undefined> {
    return (await this.#fitting(id))?.info;
  }

  async list(): Promise<readonly CheckpointInfo[]> {
    const { store } = this.#options;
    const found = await Promise.all((await store.list()).map((id) => store.get(id)));
    return found.flatMap((checkpoint) => checkpoint?.info ?? []);
  }

  remove(id: CheckpointId): Promise<void> {
    return this.#options.store.remove(id);
  }

  /** Drops one that does not fit. */
  async #fitting(id: CheckpointId): Promise<Checkpoint | undefined> {
    const { store, log } = this.#options;
    const found = await store.get(id);
    // Nothing is removed: one with this name may just be getting it. What is damaged is replaced by it, or removed at the next start.
    if (found === undefined) return undefined;
    const clones = this.#options.clones();
    if (found.key === (await clones.key(clones.shape(found.vcpus, found.memory)))) return found;
    log.info({ checkpoint: id }, "a checkpoint of another version is removed");
    await store.remove(id);
    return undefined;
  }
}

function refuseVolumes({ root, volumes }: MachineSpec): void {
  if (root !== undefined || volumes.length > 0)
    throw new CaissonError(
      "invalid_argument",
      "A machine with volumes has no checkpoint, because they go on changing.",
    );
}

/** Wall clock: for people, and for the age of a checkpoint over restarts. */
function now(): number {
  // oxlint-disable-next-line no-restricted-properties
  return Date.now();
}
