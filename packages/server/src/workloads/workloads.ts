/** Starts machines with what belongs to them, and ends both together. Who wants a workload, and for how long, is its owner's business. */
import {
  CaissonError,
  type EgressSpec,
  type MachineExit,
  type MachineInfo,
  type MachineSpec,
  type SandboxNode,
} from "@caisson/protocol";
import type { Logger } from "pino";
import { Turns } from "../kernel/turns.ts";
import type { Resource } from "./resource.ts";
import type { Workload, WorkloadKind, WorkloadPlan } from "./workload.ts";

/** Milliseconds for which events of an ended workload are still attributed: its last connections end with it. */
const lateEvents = 60_000;
/** Milliseconds that a resource may take before its workload's machine is ended all the same. */
const endingTimeout = 1_000;

/** Milliseconds between two attempts of `finish`. */
const retryInterval = 2_000;

/** A workload that should still run after a restart. */
export interface WantedWorkload {
  readonly id: string;
  readonly orgId: string;
  /** Undefined: it cannot be known, and the workload stays without network. */
  readonly egress: EgressSpec | undefined;
}

/** The slice that owns workloads of one kind, and their rows. */
export interface WorkloadOwner {
  /** What should run on this node after a restart. */
  wanted(): Promise<readonly WantedWorkload[]>;
  /** A workload of a former process goes on. */
  adopted(workload: Workload): void;
  /** After machines were adopted: ends and records what did not survive the restart. */
  settle(): Promise<void>;
  /** The machine ended by itself. The owner calls `kill` and `giveBack`, and records it. */
  exited(workload: Pick<Workload, "id" | "orgId">, exit: MachineExit): void;
}

interface Running extends Workload {
  readonly end: AbortController;
}

export interface WorkloadsOptions {
  readonly node: SandboxNode;
  readonly log: Logger;
  /** Default: of its own. */
  readonly turns?: Turns;
}

export class Workloads {
  readonly #node: SandboxNode;
  readonly #turns: Turns;
  readonly #log: Logger;
  readonly #resources: Resource[] = [];
  readonly #owners = new Map<WorkloadKind, WorkloadOwner>();
  readonly #running = new Map<string, Running>();
  /** Machines that a newer version started: they can only be ended. */
  readonly #left = new Set<string>();
  /** From the first call of `kill` until everything was given back. */
  readonly #ending = new Map<string, PromiseWithResolvers<void>>();
  readonly #killing = new Map<string, Promise<void>>();
  /** See `unwritten`, until everything was given back. */
  readonly #unwritten = new Map<string, readonly string[]>();
  /** Organisations of workloads that run or ended a moment ago. */
  readonly #orgs = new Map<string, string>();
  /** Whose machine is being started: resources are given back when that has come to an end, and not by an `end` before. */
  readonly #starting = new Set<string>();

  constructor({ node, log, turns = new Turns() }: WorkloadsOptions) {
    this.#turns = turns;
    this.#node = node;
    this.#log = log;
  }

  /** Adds a kind of resource. In the setup of slices, before anything starts. */
  register(resource: Resource): void {
    this.#resources.push(resource);
  }

  /** Names who owns the workloads of a kind. In the setup of slices. */
  own(kind: WorkloadKind, owner: WorkloadOwner): void {
    this.#owners.set(kind, owner);
  }

  live(): readonly Workload[] {
    return [...this.#running.values()];
  }

  get(id: string): Workload | undefined {
    return this.#running.get(id);
  }

  /** Changes what a running workload may reach. @throws CaissonError `not_found`, or what the node throws */
  async setEgress(id: string, egress: EgressSpec): Promise<void> {
    await this.#node.machines.setEgress(id, egress);
  }

  /** Whether its machine runs, and a newer version started it, so that it can only be ended. */
  isLeft(id: string): boolean {
    return this.#left.has(id);
  }

  /** While a workload is being ended: resolves when it has ended and given everything back. */
  ending(id: string): Promise<void> | undefined {
    return this.#ending.get(id)?.promise;
  }

  /** Also for a minute after its end. */
  orgOf(id: string): string | undefined {
    return this.#orgs.get(id);
  }

  /**
   * Takes the resources and starts the machine. When it fails, the caller calls `kill` and `giveBack`, as for one that ran.
   * @throws CaissonError what the resources or the node throw
   */
  async start(plan: WorkloadPlan, signal: AbortSignal): Promise<Workload> {
    this.#orgs.set(plan.id, plan.orgId);
    this.#starting.add(plan.id);
    try {
      const machine = await this.#startMachine(plan, signal);
      const workload = this.#add(machine, plan, false);
      for (const resource of this.#resources) await resource.started?.(workload);
      return workload;
    } finally {
      this.#starting.delete(plan.id);
    }
  }

  async #startMachine(plan: WorkloadPlan, signal: AbortSignal): Promise<MachineInfo> {
    const first = await this.#acquire(plan, false);
    try {
      return await this.#node.machines.create(first, { signal });
    } catch (error) {
      if (first.prepared === undefined || signal.aborted) throw error;
      this.#log.warn({ err: error, workload: plan.id }, "a prepared machine failed; another one is started");
      await this.#release(plan.id);
      return this.#node.machines.create(await this.#acquire(plan, true), { signal });
    }
  }

  async #acquire(plan: WorkloadPlan, afresh: boolean): Promise<MachineSpec> {
    const { id, memory, vcpus, env, egress, checkpoint, images = [] } = plan;
    const placeholders = egress.secrets.map(({ name, placeholder }) => [name, placeholder]);
    const held: Partial<MachineSpec> = {};
    for (const resource of this.#resources) Object.assign(held, await resource.acquire?.(plan, { afresh }));
    return {
      id,
      owner: plan.orgId,
      memory,
      vcpus,
      // The last part alone: a host name may not hold `_`.
      hostname: id.slice(id.lastIndexOf("_") + 1),
      env: { ...env, ...Object.fromEntries(placeholders) },
      volumes: [],
      images,
      egress,
      ...(checkpoint === undefined ? {} : { checkpoint }),
      ...held,
    };
  }

  #add(
    machine: MachineInfo,
    { id, kind, orgId }: Pick<WorkloadPlan, "id" | "kind" | "orgId">,
    adopted: boolean,
  ): Running {
    const end = new AbortController();
    const agent = this.#node.machines.agent(id);
    const turn = this.#turns.of(orgId);
    agent.onWork(() => turn.enter());
    const workload: Running = {
      id,
      kind,
      orgId,
      agent,
      caCertificatePem: machine.caCertificatePem,
      adopted,
      since: performance.now(),
      ended: end.signal,
      end,
    };
    this.#orgs.set(id, orgId);
    this.#running.set(id, workload);
    this.#node.machines.waitExit(id).then(
      (exit) => {
        this.#remember(id, exit);
        if (this.#running.get(id) === workload && !end.signal.aborted) this.#owners.get(kind)?.exited(workload, exit);
      },
      (error: unknown) => this.#log.error({ err: error, workload: id }, "the end of a machine will not be noticed"),
    );
    return workload;
  }

  /**
   * Ends the machine of a workload, in whatever state it is. Does not need the database. Idempotent; can be called again after it failed.
   * Afterwards `giveBack` has to succeed.
   */
  kill(id: string): Promise<void> {
    const under = this.#killing.get(id);
    if (under !== undefined) return under;
    const killing = this.#kill(id).finally(() => this.#killing.delete(id));
    this.#killing.set(id, killing);
    return killing;
  }

  async #kill(id: string): Promise<void> {
    if (!this.#ending.has(id)) this.#ending.set(id, Promise.withResolvers());
    const workload = this.#running.get(id);
    if (workload !== undefined && !workload.end.signal.aborted) {
      workload.end.abort();
      await this.#announce(workload);
    }
    this.#remember(id, await this.#node.machines.stop(id));
    this.#running.delete(id);
    this.#left.delete(id);
    // It may be started again.
    setTimeout(() => this.#running.has(id) || this.#orgs.delete(id), lateEvents).unref();
  }

  #remember(id: string, { unwritten }: MachineExit): void {
    if (unwritten !== undefined) this.#unwritten.set(id, unwritten);
  }

  /** After `kill`, before `giveBack`: serials of the disks whose last writes may be missing, see `MachineExit`. */
  unwritten(id: string): readonly string[] {
    return this.#unwritten.get(id) ?? [];
  }

  async #announce(workload: Workload): Promise<void> {
    const { id } = workload;
    const tell = async (resource: Resource) => {
      await resource.ending?.(workload);
    };
    const told = this.#resources.map((resource) =>
      tell(resource).catch((error: unknown) =>
        this.#log.warn({ err: error, workload: id, resource: resource.name }, "a resource did not end cleanly"),
      ),
    );
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, endingTimeout)));
    await Promise.race([Promise.all(told), late]).finally(() => clearTimeout(timer));
  }

  /**
   * After `kill`: gives back what the workload held. Idempotent; called again until it succeeds.
   * @throws CaissonError `unavailable` while the workload is still being started, and what resources throw
   */
  async giveBack(id: string): Promise<void> {
    if (this.#starting.has(id))
      throw new CaissonError("unavailable", `Workload ${id} is still being started. Try again.`);
    await this.#release(id);
    this.#unwritten.delete(id);
    this.#ending.get(id)?.resolve();
    this.#ending.delete(id);
  }

  /**
   * `kill` and `giveBack`, for those that no owner ends again and again. What fails is tried again in the background until it succeeds; this
   * never throws.
   */
  async finish(id: string): Promise<void> {
    try {
      await this.kill(id);
      await this.giveBack(id);
    } catch (error) {
      this.#log.warn({ err: error, workload: id }, "a workload was not given back; trying again");
      setTimeout(() => void this.finish(id), retryInterval).unref();
    }
  }

  async #release(id: string): Promise<void> {
    for (const resource of this.#resources.toReversed()) await resource.release?.(id);
  }

  /** After a start of this process: adopts what should run, has the rest ended. */
  async reconcile(signal: AbortSignal): Promise<void> {
    const wanted = new Map<string, WantedWorkload & { readonly kind: WorkloadKind }>();
    for (const [kind, owner] of this.#owners)
      for (const workload of await owner.wanted()) wanted.set(workload.id, { ...workload, kind });
    const report = await this.#node.start({
      wanted: [...wanted.values()].map(({ id, orgId, egress }) => ({
        id,
        owner: orgId,
        ...(egress === undefined ? {} : { egress }),
      })),
      signal,
    });
    for (const machine of report.adopted) {
      const found = wanted.get(machine.id);
      // Not of the former process.
      if (found === undefined) continue;
      const { kind, orgId } = found;
      const workload = this.#add(machine, { id: machine.id, kind, orgId }, true);
      this.#owners.get(kind)!.adopted(workload);
      for (const resource of this.#resources) await resource.started?.(workload);
    }
    for (const id of report.left ?? []) {
      const { kind, orgId } = wanted.get(id)!;
      const owner = this.#owners.get(kind)!;
      this.#left.add(id);
      void this.#node.machines.waitExit(id).then((exit) => this.#left.has(id) && owner.exited({ id, orgId }, exit));
    }
    for (const owner of this.#owners.values()) await owner.settle();
    const adopted = report.adopted.map(({ id }) => id);
    if (adopted.length + report.reclaimed.length > 0)
      this.#log.info({ adopted, reclaimed: report.reclaimed }, "machines of the former process");
  }
}
