/** Starts machines with what belongs to them, and ends both together. Who wants a workload, and for how long, is its owner's business. */
import type { EgressSpec, MachineExit, MachineInfo, MachineSpec, SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Resource } from "./resource.ts";
import type { Workload, WorkloadKind, WorkloadPlan } from "./workload.ts";

/** Milliseconds for which events of an ended workload are still attributed: its last connections end with it. */
const lateEvents = 60_000;

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
  /** The machine ended by itself. The owner calls `end`, and records it. */
  exited(workload: Workload, exit: MachineExit): void;
}

interface Running extends Workload {
  readonly end: AbortController;
}

export interface WorkloadsOptions {
  readonly node: SandboxNode;
  readonly log: Logger;
}

export class Workloads {
  readonly #node: SandboxNode;
  readonly #log: Logger;
  readonly #resources: Resource[] = [];
  readonly #owners = new Map<WorkloadKind, WorkloadOwner>();
  readonly #running = new Map<string, Running>();
  readonly #ending = new Map<string, Promise<void>>();
  /** Organisations of workloads that run or ended a moment ago. */
  readonly #orgs = new Map<string, string>();
  /** Whose machine is being started: resources are given back when that has come to an end, and not by an `end` before. */
  readonly #starting = new Set<string>();

  constructor({ node, log }: WorkloadsOptions) {
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

  /** While a workload is being ended: resolves when it has ended and given everything back. */
  ending(id: string): Promise<void> | undefined {
    return this.#ending.get(id);
  }

  /** Also for a minute after its end. */
  orgOf(id: string): string | undefined {
    return this.#orgs.get(id);
  }

  /**
   * Takes the resources and starts the machine. When it fails, the caller calls `end`, as for one that ran.
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
    const { id, memory, vcpus, env, egress } = plan;
    const placeholders = egress.secrets.map(({ name, placeholder }) => [name, placeholder]);
    const held: Partial<MachineSpec> = {};
    for (const resource of this.#resources) Object.assign(held, await resource.acquire?.(plan, { afresh }));
    return {
      id,
      memory,
      vcpus,
      // The last part alone: a host name may not hold `_`.
      hostname: id.slice(id.lastIndexOf("_") + 1),
      env: { ...env, ...Object.fromEntries(placeholders) },
      volumes: [],
      egress,
      ...held,
    };
  }

  #add(
    machine: MachineInfo,
    { id, kind, orgId }: Pick<WorkloadPlan, "id" | "kind" | "orgId">,
    adopted: boolean,
  ): Running {
    const end = new AbortController();
    const workload: Running = {
      id,
      kind,
      orgId,
      agent: this.#node.machines.agent(id),
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
        if (this.#running.get(id) === workload && !end.signal.aborted) this.#owners.get(kind)?.exited(workload, exit);
      },
      (error: unknown) => this.#log.error({ err: error, workload: id }, "the end of a machine will not be noticed"),
    );
    return workload;
  }

  /** Ends a workload, in whatever state it is, and gives everything back. Idempotent; can be called again after it failed. */
  end(id: string): Promise<void> {
    const under = this.#ending.get(id);
    if (under !== undefined) return under;
    const ending = this.#end(id).finally(() => this.#ending.delete(id));
    this.#ending.set(id, ending);
    return ending;
  }

  async #end(id: string): Promise<void> {
    const workload = this.#running.get(id);
    workload?.end.abort();
    for (const resource of workload === undefined ? [] : this.#resources.toReversed()) {
      await resource
        .ending?.(workload!)
        .catch((error: unknown) =>
          this.#log.warn({ err: error, workload: id, resource: resource.name }, "a resource did not end cleanly"),
        );
    }
    await this.#node.machines.stop(id);
    this.#running.delete(id);
    if (!this.#starting.has(id)) await this.#release(id);
    setTimeout(() => this.#orgs.delete(id), lateEvents).unref();
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
      wanted: [...wanted.values()].map(({ id, egress }) => ({ id, ...(egress === undefined ? {} : { egress }) })),
      signal,
    });
    for (const machine of report.adopted) {
      const { kind, orgId } = wanted.get(machine.id)!;
      const workload = this.#add(machine, { id: machine.id, kind, orgId }, true);
      this.#owners.get(kind)!.adopted(workload);
      for (const resource of this.#resources) await resource.started?.(workload);
    }
    for (const owner of this.#owners.values()) await owner.settle();
    const adopted = report.adopted.map(({ id }) => id);
    if (adopted.length + report.reclaimed.length > 0)
      this.#log.info({ adopted, reclaimed: report.reclaimed }, "machines of the former process");
  }
}
