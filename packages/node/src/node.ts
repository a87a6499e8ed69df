/** The engine of one host: templates, pool, machines. */
import { createHash } from "node:crypto";
import {
  type AdoptionReport,
  CaissonError,
  type Machine,
  type MachineExit,
  type MachineSpec,
  type NodeStatus,
  type RootDisk,
  type SandboxNode,
  type StandingMachine,
} from "@caisson/protocol";
import { type Accelerator, chooseAccelerator } from "./accelerator/accelerator.ts";
import { adoptMachines } from "./adoption/adopt.ts";
import { warmUp } from "./agent/warm-up.ts";
import { detectCgroups } from "./cgroup/detect.ts";
import type { VmShape } from "./driver/driver.ts";
import { createQemuDriver } from "./driver/qemu/driver.ts";
import { availableMebibytes } from "./host/memory.ts";
import { type Clone, type CloneHost, plugMemory, restoreClone } from "./machine/clone.ts";
import { handOut } from "./machine/hand-out.ts";
import { machineLimits } from "./machine/limits.ts";
import { insertRoot, rehearseRoot, standOnRoot, standsOn } from "./machine/owner-root.ts";
import type { RunningMachine } from "./machine/machine.ts";
import type { NodeOptions, StartSource } from "./options.ts";
import { Pool } from "./pool/pool.ts";
import { prepareDirectories } from "./runtime/directories.ts";
import { MonitorUsers } from "./runtime/users.ts";
import { shapeFor } from "./template/shape.ts";
import { type Template, TemplateStore } from "./template/store.ts";

const qemu = "/usr/bin/qemu-system-x86_64";
/** Never given to sandboxes, MiB. */
const hostReserve = 512;
const firstCloneDeadlineMs = 15_000;
/** A rehearsal costs each pooled clone some 11 MiB; where nobody has asked for a root disk for this long, it is left out. */
const rootDemandMs = 10 * 60_000;

interface Started {
  readonly host: CloneHost;
  readonly accelerator: Accelerator;
  readonly pool: Pool;
}

export function createNode(options: NodeOptions): SandboxNode {
  return new Node(options);
}

class Node implements SandboxNode {
  readonly #options: NodeOptions;
  readonly #templates: TemplateStore;
  readonly #machines = new Map<string, RunningMachine>();
  /** Ids of machines under way. */
  readonly #creating = new Set<string>();
  #started: Started | undefined;
  #closing = false;
  /** When somebody last asked for a root disk, as by `performance.now`. */
  #lastRoot = -Infinity;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#templates = new TemplateStore(options.cache);
  }

  async start({ wanted, egressOf, signal }: Parameters<SandboxNode["start"]>[0]): Promise<AdoptionReport> {
    const { home, cache, image, config, log, egress } = this.#options;
    const [directories, cgroups, accelerator] = await Promise.all([
      prepareDirectories(home),
      detectCgroups(log),
      chooseAccelerator({ wanted: config.accelerator, cache, kernel: image.kernel, program: qemu, log }),
    ]);
    const installation = createHash("sha256").update(home).digest("hex").slice(0, 8);
    const host: CloneHost = {
      driver: createQemuDriver(qemu),
      image,
      cgroups,
      groupPrefix: `${installation}-`,
      directories,
      users: new MonitorUsers(),
    };
    const pool = new Pool({
      config: config.pool,
      make: (stop) => this.#makePooled(stop),
      busy: () => this.#creating.size > 0,
      log,
    });
    this.#started = { host, accelerator, pool };
    const { machines, ...report } = await adoptMachines({
      host,
      egress,
      wanted,
      ...(egressOf === undefined ? {} : { egressOf }),
      onEnd: (id, exit) => this.#onEnd(id, exit),
      log,
    });
    for (const machine of machines) this.#keep(machine);
    const { vcpus, memoryMin, memoryDefault } = config.sandbox;
    for (const memory of [memoryDefault, memoryMin]) await this.#template(this.#shape(vcpus, memory), signal);
    await this.#templates.prune();
    pool.start();
    await pool.firstClone(firstCloneDeadlineMs);
    return report;
  }

  async stand(
    disk: () => Promise<RootDisk>,
    { signal }: Parameters<SandboxNode["stand"]>[1],
  ): Promise<StandingMachine> {
    return this.#running().pool.stand((stop) => this.#makePooled(stop, disk), signal);
  }

  async create(spec: MachineSpec, options: { signal?: AbortSignal } = {}): Promise<Machine> {
    const { root } = spec;
    if (root?.standing !== true) return this.#create(spec, undefined, options);
    const standing = this.#running().pool.claimStanding((clone) => standsOn(clone, root));
    try {
      if (standing === undefined || !fits(standing, this.#shape(spec.vcpus, spec.memory), spec.memory))
        throw new CaissonError("unavailable", "The machine that stood on this root has gone.");
      return await this.#create(spec, standing, options);
    } catch (error) {
      await this.#discard(standing);
      throw error;
    }
  }

  async #create(
    spec: MachineSpec,
    standing: Clone | undefined,
    { signal }: { signal?: AbortSignal },
  ): Promise<Machine> {
    const begun = performance.now();
    const { host, pool } = this.#running();
    this.#check(spec);
    signal?.throwIfAborted();
    this.#creating.add(spec.id);
    let clone: Clone | undefined;
    try {
      await requireMemory(spec.memory);
      const shape = this.#shape(spec.vcpus, spec.memory);
      const claimed = standing ?? pool.claim((candidate) => fits(candidate, shape, spec.memory));
      let source: StartSource = standing === undefined ? "pool" : "standing";
      let ready: Promise<void>;
      if (claimed === undefined) {
        source = "restore";
        const template = await this.#template(shape, signal);
        const restored = await restoreClone(host, { shape, template, memory: spec.memory, background: false });
        ({ personalized: ready } = restored);
        clone = restored;
      } else {
        clone = claimed;
        ready = this.#wake(claimed, spec.memory);
      }
      if (spec.root !== undefined && standing === undefined) {
        this.#lastRoot = performance.now();
        ready = Promise.all([ready, insertRoot(clone, spec.root)]).then(() => undefined);
      }
      ready.catch(() => undefined);
      const machine = await handOut({
        clone,
        ready,
        spec,
        egress: this.#options.egress,
        onEnd: (exit) => this.#onEnd(spec.id, exit),
        ...(signal === undefined ? {} : { signal }),
      });
      if (signal?.aborted === true || this.#closing)
        throw new CaissonError("cancelled", "Creating the sandbox was cancelled.");
      this.#keep(machine);
      this.#options.metrics?.machineCreated?.(source, performance.now() - begun);
      return machine;
    } catch (error) {
      await this.#discard(clone);
      await this.#options.egress.detach(spec.id).catch(() => undefined);
      throw error;
    } finally {
      this.#creating.delete(spec.id);
    }
  }

  async #discard(clone: Clone | undefined): Promise<void> {
    await clone
      ?.discard()
      .catch((fault: unknown) => this.#options.log.error({ err: fault }, "a failed sandbox could not be cleared away"));
  }

  get(id: string): Machine | undefined {
    return this.#machines.get(id);
  }

  machines(): readonly Machine[] {
    return [...this.#machines.values()];
  }

  status(): NodeStatus {
    const pool = this.#started?.pool;
    return {
      accelerator: this.#started?.accelerator ?? "tcg",
      machines: this.#machines.size,
      pooled: pool?.size ?? 0,
      poolTarget: pool?.target ?? 0,
      standing: pool?.standing ?? 0,
    };
  }

  async close(how: "end" | "leave"): Promise<void> {
    this.#closing = true;
    await this.#started?.pool.close();
    const machines = [...this.#machines.values()];
    if (how === "end") await Promise.all(machines.map((machine) => machine.stop()));
    else for (const machine of machines) machine.release();
    this.#machines.clear();
  }

  #running(): Started {
    if (this.#started === undefined || this.#closing) throw new CaissonError("unavailable", "The node is not running.");
    return this.#started;
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
      throw new CaissonError("invalid_argument", "A sandbox has 1 to 32 processors.");
    if (this.#machines.has(id) || this.#creating.has(id))
      throw new CaissonError("already_exists", `There is already a machine ${id}.`);
  }

  #shape(vcpus: number, memory: number): VmShape {
    return shapeFor(vcpus, memory, this.#options.config.sandbox, this.#running().accelerator);
  }

  async #template(shape: VmShape, signal?: AbortSignal): Promise<Template> {
    const { host } = this.#running();
    const { config, log, metrics, progress } = this.#options;
    let begun: number | undefined;
    const template = await this.#templates.get({
      host,
      driver: host.driver,
      image: host.image,
      shape,
      diskBytes: config.sandbox.diskBytes,
      progress: (step) => {
        begun ??= performance.now();
        log.info(step);
        progress?.(step);
      },
      ...(signal === undefined ? {} : { signal }),
    });
    if (begun !== undefined) metrics?.templateBuilt?.(performance.now() - begun);
    return template;
  }

  /** @param root of whoever the clone is for */
  async #makePooled(signal: AbortSignal, root?: () => Promise<RootDisk>): Promise<Clone> {
    const { host } = this.#running();
    const { memoryDefault, vcpus } = this.#options.config.sandbox;
    const shape = this.#shape(vcpus, memoryDefault);
    const template = await this.#template(shape);
    const clone = await restoreClone(host, { shape, template, memory: memoryDefault, background: true });
    // A clone that nobody will use is not waited for; what waits for it fails with it.
    const abandon = () => void clone.discard().catch(() => undefined);
    signal.addEventListener("abort", abandon, { once: true });
    try {
      signal.throwIfAborted();
      await clone.personalized;
      await warmUp(clone.agent);
      // A real processor has nothing to translate.
      const rehearse = shape.accelerator === "tcg" && performance.now() - this.#lastRoot < rootDemandMs;
      if (root !== undefined) await standOnRoot(clone, await root());
      else if (rehearse) await rehearseRoot(clone, template.files);
      await clone.vm.pause();
      await clone.holdings.update({ phase: "pooled" });
      return clone;
    } catch (error) {
      await clone.discard();
      throw error;
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  async #wake(clone: Clone, memory: number): Promise<void> {
    const { host } = this.#running();
    const { cgroup } = clone.holdings;
    await Promise.all([
      cgroup.setPriority("normal"),
      memory === clone.memory ? undefined : cgroup.setMemoryLimit(machineLimits(clone.shape, memory).memoryBytes),
    ]);
    if (memory !== clone.memory)
      await plugMemory(host.driver, clone.vm, (await this.#template(clone.shape)).visibleMemory, memory);
    await clone.vm.resume();
    // The first call after a pause takes the guest ten milliseconds; nobody waits for this one.
    void clone.agent.machine.hello({}).catch(() => undefined);
  }

  #keep(machine: RunningMachine): void {
    this.#machines.set(machine.id, machine);
    // It may have ended while it was handed out.
    void machine.exited.then(() => {
      if (this.#machines.get(machine.id) === machine) this.#machines.delete(machine.id);
    });
  }

  async #onEnd(id: string, exit: MachineExit): Promise<void> {
    const { egress, log, metrics } = this.#options;
    await egress
      .detach(id)
      .catch((error: unknown) =>
        log.warn({ err: error, machine: id }, "the egress of an ended machine was not detached"),
      );
    if (exit.reason === "crashed") log.warn({ machine: id, detail: exit.detail }, "a machine crashed");
    metrics?.machineEnded?.(exit.reason);
  }
}

/** A pooled clone may grow, but giving memory back would need its guest's help. */
function fits(clone: Clone, shape: VmShape, memory: number): boolean {
  return clone.shape.vcpus === shape.vcpus && memory >= clone.memory;
}

async function requireMemory(mebibytes: number): Promise<void> {
  const available = await availableMebibytes();
  if (available - hostReserve < mebibytes) {
    throw new CaissonError(
      "resource_exhausted",
      `This host has ${available} MiB of memory left, too little for another sandbox of ${mebibytes} MiB. End one, or ask for less memory.`,
    );
  }
}
