/** The machines of a node, as the control plane uses them. */
import { availableParallelism, totalmem } from "node:os";
import {
  type Agent,
  CaissonError,
  type ImageName,
  type LayerId,
  type MachineExit,
  type MachineInfo,
  type MachineSpec,
  type MachineUsage,
  type EgressSpec,
  type NodeMachines,
  type NodeStatus,
  type RootDisk,
  type StartSource,
} from "@caisson/protocol";
import type { LeftMachine } from "./adoption/left.ts";
import type { Checkpoints } from "./checkpoint/checkpoints.ts";
import type { Clone } from "./machine/clone.ts";
import { handOut } from "./machine/hand-out.ts";
import { machineLimits } from "./holdings/limits.ts";
import type { RunningMachine } from "./machine/machine.ts";
import { insertRoot, isPreparedOn } from "./machine/owner-root.ts";
import { layerImages, wantedDisks } from "./machine/wanted-disks.ts";
import { requireMemory } from "./memory/available.ts";
import { MemoryLedger } from "./memory/ledger.ts";
import type { Watched } from "./memory/watch.ts";
import type { NodeOptions } from "./options.ts";
import type { ImageLibrary } from "./images/library.ts";
import { type Clones, fits } from "./pool/clones.ts";
import type { Pool } from "./pool/pool.ts";
import { StartQueue } from "./pool/start-queue.ts";

/** A machine that ends because memory is short gets at most this long to write its volumes. Milliseconds. */
const shortFlushMs = 2000;

/** Exists once the node has started. */
export interface Engine {
  readonly clones: Clones;
  readonly pool: Pool;
}

export interface MachineTableOptions extends Pick<NodeOptions, "config" | "egress" | "files" | "layers" | "log"> {
  readonly images: ImageLibrary;
  readonly checkpoints: Checkpoints;
  /** @throws CaissonError `unavailable` when the node does not run */
  readonly engine: () => Engine;
}

export class MachineTable implements NodeMachines {
  readonly #options: MachineTableOptions;
  readonly #ledger: MemoryLedger;
  readonly #queue: StartQueue;
  readonly #machines = new Map<string, RunningMachine>();
  readonly #left = new Map<string, LeftMachine>();
  /** Ids of machines whose creation is in progress. */
  readonly #creating = new Set<string>();
  readonly started: Record<StartSource, number> = { pool: 0, prepared: 0, restore: 0, checkpoint: 0 };
  readonly ended: Record<MachineExit["reason"], number> = { stopped: 0, crashed: 0, evicted: 0 };

  constructor(options: MachineTableOptions) {
    this.#options = options;
    const patienceMs = options.config.sandbox.startPatience * 1000;
    this.#queue = new StartQueue({ slots: availableParallelism(), patienceMs });
    this.#ledger = new MemoryLedger({ physical: totalmem(), factor: options.config.sandbox.memoryOvercommit });
  }

  /** Whether somebody waits for a machine. */
  get busy(): boolean {
    return this.#creating.size > 0;
  }

  /** Whether more wait for a machine than are started at a time. */
  get crowded(): boolean {
    return this.#queue.crowded;
  }

  async create(spec: MachineSpec, { signal }: { readonly signal?: AbortSignal } = {}): Promise<MachineInfo> {
    const { clones, pool } = this.#options.engine();
    this.#check(spec);
    signal?.throwIfAborted();
    this.#creating.add(spec.id);
    let started = () => {};
    let clone: Clone | undefined = spec.prepared === undefined ? undefined : pool.claimPrepared(spec.prepared);
    try {
      const disks = await wantedDisks(this.#options, spec);
      const shape = clones.shape(spec.vcpus, spec.memory);
      this.#ledger.reserve(spec.id, machineLimits(shape, spec.memory).memoryBytes);
      await requireMemory(spec.memory, this.#options.config.sandbox.memoryReserve);
      let source: StartSource = "prepared";
      let ready: Promise<void>;
      if (spec.prepared !== undefined) {
        if (clone === undefined || !isPreparedOn(clone, disks.root!) || !fits(clone, shape, spec.memory))
          throw new CaissonError("unavailable", "The machine that was prepared on this root disk has ended.");
        ready = clones.wake(clone, spec.memory);
      } else if (spec.checkpoint !== undefined) {
        started = await this.#queue.enter(signal).catch(busy);
        const { id, use } = spec.checkpoint;
        const { checkpoints } = this.#options;
        source = use === "save" ? "restore" : "checkpoint";
        const made = await (use === "save"
          ? checkpoints.start(spec, signal)
          : checkpoints.resume(spec, id, disks.volumes));
        clone = made;
        ready = made.personalized;
      } else {
        const suits = (candidate: Clone) => fits(candidate, shape, spec.memory);
        clone = pool.claim(suits);
        if (clone === undefined) {
          started = await this.#queue.enter(signal);
          // One may have become ready meanwhile.
          clone = pool.takeReady(suits);
        }
        source = clone === undefined ? "restore" : "pool";
        if (clone === undefined) {
          const restored = await clones.restore(shape, spec.memory, signal);
          clone = restored;
          ready = restored.personalized;
        } else ready = clones.wake(clone, spec.memory);
        if (disks.root !== undefined) {
          clones.rootWanted();
          ready = Promise.all([ready, insertRoot(clone, disks.root)]).then(() => undefined);
        }
      }
      ready.catch(() => undefined);
      const machine = await handOut({
        clone,
        ready,
        spec,
        disks,
        egress: this.#options.egress,
        flushMs: this.flushMs,
        onEnd: () => this.onEnd(spec.id),
        log: this.#options.log,
        ...(signal === undefined ? {} : { signal }),
      });
      if (signal?.aborted === true) throw new CaissonError("cancelled", "Creating the sandbox was cancelled.");
      // The node may have begun to stop.
      this.#options.engine();
      this.keep(machine);
      this.started[source]++;
      return infoOf(machine);
    } catch (error) {
      this.#ledger.release(spec.id);
      await this.#discard(clone);
      await this.#options.egress.detach(spec.id).catch(() => undefined);
      throw error;
    } finally {
      started();
      this.#creating.delete(spec.id);
    }
  }

  async prepare(id: string, root: RootDisk, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { clones, pool } = this.#options.engine();
    const images = await layerImages(this.#options.layers, root);
    await pool.prepare(id, (stop) => clones.makePooled(stop, { ...images, bytes: root.bytes }), signal);
  }

  async waitPrepared(id: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    await this.#options.engine().pool.prepared.wait(id, signal);
  }

  async discard(id: string): Promise<void> {
    await this.#options.engine().pool.prepared.discard(id);
  }

  async stop(id: string): Promise<MachineExit> {
    return (await (this.#machines.get(id) ?? this.#left.get(id))?.stop()) ?? noMachine;
  }

  /** Ends a machine that may not go on. `waitExit` answers with the reason. @param detail for its owner */
  evict(id: string, detail: string): void {
    void this.#machines.get(id)?.evict(detail, { flushMs: 0 });
  }

  async waitExit(id: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<MachineExit> {
    const exited = (this.#machines.get(id) ?? this.#left.get(id))?.exited;
    if (exited === undefined) return noMachine;
    return abortable(exited, signal);
  }

  async list(): Promise<readonly MachineInfo[]> {
    return [...this.#machines.values()].map(infoOf);
  }

  async usage(id: string): Promise<MachineUsage> {
    return this.#require(id).usage();
  }

  async setEgress(id: string, egress: EgressSpec): Promise<void> {
    const machine = this.#require(id);
    await this.#options.egress.attach({ sandboxId: id, socketPath: machine.egressSocket, ...egress });
  }

  async overlayDisk(id: string, serial: string, overlay: LayerId): Promise<void> {
    const { layers } = this.#options;
    const machine = this.#require(id);
    const chain = await layers.chain(overlay);
    const [path, below] = await layers.paths(chain);
    if (path === undefined || below !== (await machine.disks.imageOf(serial)))
      throw new CaissonError(
        "invalid_state",
        `Layer ${overlay} is not an overlay of the layer that disk "${serial}" writes to.`,
      );
    await machine.disks.overlayDisk(serial, path);
  }

  async diskLayers(id: string): Promise<Readonly<Record<string, LayerId>>> {
    const images = await this.#require(id).disks.diskImages();
    return Object.fromEntries([...images].map(([serial, path]) => [serial, this.#options.layers.idOf(path)]));
  }

  async attachImage(
    id: string,
    image: ImageName,
    path: string,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const machine = this.#require(id);
    const file = await abortable(this.#options.images.file(image), signal);
    await machine.disks.attachImage(image, file, path);
  }

  agent(id: string): Agent {
    return this.#require(id, "unavailable").agent;
  }

  /** Adds a machine that this version can only end. */
  leave(machine: LeftMachine): void {
    this.#left.set(machine.id, machine);
    void machine.exited.then(() => this.#left.delete(machine.id));
  }

  /** Adds a machine that a former process started. */
  adopt(machine: RunningMachine): void {
    // It may have been paused while no process watched it.
    void machine.setClock();
    const { vcpus, memory } = machine;
    const shape = this.#options.engine().clones.shape(vcpus, memory);
    this.#ledger.adopt(machine.id, machineLimits(shape, memory).memoryBytes);
    this.keep(machine);
  }

  /** See `RunningMachineOptions.flushMs`. */
  get flushMs(): number {
    return this.#options.config.sandbox.flushTimeout * 1000;
  }

  /** The machines that could end when memory is short. */
  async watched(): Promise<readonly Watched[]> {
    const running = [...this.#machines.values()].filter(({ ending }) => !ending);
    const flushMs = Math.min(this.flushMs, shortFlushMs);
    return Promise.all(
      running.map(async (machine) => ({
        id: machine.id,
        owner: machine.owner,
        used: (await machine.usage()).memoryBytes,
        evict: (detail: string) => machine.evict(detail, { flushMs }),
      })),
    );
  }

  /** The host's clock was set, or the host was suspended. */
  setClocks(): void {
    for (const machine of this.#machines.values()) void machine.setClock();
  }

  /** Adds a machine that runs. */
  keep(machine: RunningMachine): void {
    this.#machines.set(machine.id, machine);
    // It may have ended while it was handed out.
    void machine.exited.then(({ reason, detail }) => {
      if (this.#machines.get(machine.id) === machine) {
        this.#machines.delete(machine.id);
        this.#ledger.release(machine.id);
      }
      this.ended[reason]++;
      if (reason === "crashed") this.#options.log.warn({ machine: machine.id, detail }, "a machine crashed");
      if (reason === "evicted") this.#options.log.warn({ machine: machine.id, detail }, "the node ended a machine");
    });
  }

  async close(how: "end" | "leave"): Promise<void> {
    const machines = [...this.#machines.values()];
    if (how === "end") await Promise.all(machines.map((machine) => machine.stop()));
    else for (const machine of machines) machine.release();
    const left = [...this.#left.values()];
    if (how === "end") await Promise.all(left.map((machine) => machine.stop()));
    for (const machine of left) machine.release();
    this.#machines.clear();
  }

  status(): Pick<NodeStatus, "machines" | "started" | "ended"> {
    return { machines: this.#machines.size, started: { ...this.started }, ended: { ...this.ended } };
  }

  /** After a machine has ended, before what it held is given back. Can be repeated. */
  async onEnd(id: string): Promise<void> {
    const { egress, log } = this.#options;
    await egress
      .detach(id)
      .catch((error: unknown) =>
        log.warn({ err: error, machine: id }, "the egress proxy still serves an ended machine"),
      );
  }

  #require(id: string, code: "not_found" | "unavailable" = "not_found"): RunningMachine {
    const machine = this.#machines.get(id);
    if (this.#left.has(id))
      throw new CaissonError(
        "unavailable",
        `Machine ${id} was started by a newer version of Caisson, which must run to use it.`,
      );
    if (machine === undefined) throw new CaissonError(code, `This node has no machine ${id}.`);
    return machine;
  }

  async #discard(clone: Clone | undefined): Promise<void> {
    await clone
      ?.discard()
      .catch((fault: unknown) =>
        this.#options.log.error({ err: fault }, "a machine that failed to start was not removed"),
      );
  }

  #check({ id, memory, vcpus }: MachineSpec): void {
    const { memoryMin, memoryMax } = this.#options.config.sandbox;
    if (!Number.isInteger(memory) || memory < memoryMin || memory > memoryMax) {
      throw new CaissonError(
        "invalid_argument",
        `Memory must be a whole number of MiB from ${memoryMin} to ${memoryMax}, not ${memory}.`,
      );
    }
    if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > 32)
      throw new CaissonError("invalid_argument", `A sandbox can have 1 to 32 processors, not ${vcpus}.`);
    if (this.#machines.has(id) || this.#creating.has(id))
      throw new CaissonError("already_exists", `A machine with the id ${id} already exists.`);
  }
}

/** @throws the reason of the signal */
async function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  // Whoever is no longer waited for may still fail.
  work.catch(() => undefined);
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([work, aborted.promise]).finally(() => signal.removeEventListener("abort", abort));
}

function infoOf({ id, caCertificatePem }: RunningMachine): MachineInfo {
  return { id, ...(caCertificatePem === undefined ? {} : { caCertificatePem }) };
}

/** Nothing is wrong with the checkpoint: another code than that of a machine that ended while it was resumed. */
function busy(cause: unknown): never {
  if (!(cause instanceof CaissonError) || cause.code !== "unavailable") throw cause;
  throw new CaissonError("resource_exhausted", cause.message, { cause });
}

const noMachine: MachineExit = { reason: "stopped", detail: "There is no such machine." };
