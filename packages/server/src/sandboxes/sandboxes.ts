/** Creates, extends and ends sandboxes. The store is the truth; `LiveSandbox` is what this process holds beside it. */
import { setTimeout as sleep } from "node:timers/promises";
import { validateEgress } from "@caisson/policy";
import {
  CaissonError,
  newId,
  sandboxIdPattern,
  toCaissonError,
  type Config,
  type MachineExit,
} from "@caisson/protocol";
import type { Logger } from "pino";
import type { Org } from "../kernel/http/context.ts";
import type { Nodes } from "../nodes/nodes.ts";
import { bindSecrets } from "../secrets/placeholders.ts";
import type { SecretStore } from "../secrets/store.ts";
import type { WantedWorkload, Workload, WorkloadOwner, Workloads } from "../workloads/index.ts";
import { checkStopAt, type CreateRequest } from "./create-request.ts";
import { Deadlines } from "./deadlines.ts";
import { LiveSandbox } from "./live-sandbox.ts";
import type { SandboxRow, SandboxStore } from "./store.ts";

/** WebSocket close codes that a client treats as a normal end are 1000 and 1001. */
export const closeCodes = { killed: 1000, ended: 1001, failed: 1011 } as const;

/** Milliseconds to wait for another server to end a sandbox of its node. Clients give up after 10 s. */
const otherNodeDeadline = 8_000;

export interface SandboxesOptions {
  readonly config: Config;
  readonly nodes: Nodes;
  readonly workloads: Workloads;
  readonly secrets: SecretStore;
  readonly store: SandboxStore;
  readonly log: Logger;
}

/** Milliseconds between attempts to end a sandbox. */
const retryInterval = 5_000;

interface End {
  readonly reason: string;
  readonly code: number;
  /** When it is tried again, on the clock of `performance.now`. */
  readonly again: number;
}

export class Sandboxes implements WorkloadOwner {
  readonly #options: SandboxesOptions;
  readonly #live = new Map<string, LiveSandbox>();
  readonly #stopping = new Map<string, Promise<void>>();
  /** Ends that failed and are tried again. */
  readonly #unfinished = new Map<string, End>();
  readonly #deadlines = new Deadlines();
  readonly #creating = new Set<Promise<LiveSandbox>>();
  readonly #closing = new AbortController();

  constructor(options: SandboxesOptions) {
    this.#options = options;
  }

  live(): readonly LiveSandbox[] {
    return [...this.#live.values()];
  }

  get(id: string): LiveSandbox | undefined {
    return this.#live.get(id);
  }

  /** @throws CaissonError `not_found`: also for a sandbox of another organisation, which this one must not learn about */
  async row(orgId: string, id: string): Promise<SandboxRow> {
    const row = sandboxIdPattern.test(id) ? await this.#options.store.get(id) : undefined;
    if (row === undefined || row.org_id !== orgId)
      throw new CaissonError("not_found", `There is no sandbox ${id.slice(0, 64)}.`);
    return row;
  }

  /**
   * A running sandbox of an organisation, on this node.
   * @throws CaissonError `not_found`, `gone`, `unavailable` when it runs on another node
   */
  async find(orgId: string, id: string): Promise<LiveSandbox> {
    const { phase, node_id } = await this.row(orgId, id);
    const sandbox = this.#live.get(id);
    if (phase === "running" && node_id !== this.#options.nodes.id)
      throw new CaissonError("unavailable", `Sandbox ${id} runs on node ${node_id}. Use the server of that node.`);
    if (phase !== "running" || sandbox === undefined || sandbox.ended.aborted)
      throw new CaissonError("gone", `Sandbox ${id} has ended.`);
    return sandbox;
  }

  /**
   * A running sandbox. The row is written first, so that a crash at any point leaves something to clean up by.
   * @throws CaissonError `resource_exhausted`, `invalid_argument`, `unsupported`, or what the node throws
   */
  async create(org: Org, request: CreateRequest, signal?: AbortSignal): Promise<LiveSandbox> {
    if (this.#closing.signal.aborted) throw new CaissonError("unavailable", "The server is stopping.");
    const creating = this.#create(org, request, AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]));
    this.#creating.add(creating);
    return await creating.finally(() => this.#creating.delete(creating));
  }

  async #create(org: Org, request: CreateRequest, signal: AbortSignal): Promise<LiveSandbox> {
    const { config, nodes, store, workloads, log } = this.#options;
    const policy = request.allowNet === undefined ? {} : { allow: request.allowNet };
    const secrets = bindSecrets(withoutNulls(request.secrets));
    validateEgress(policy, secrets);
    const { region, vcpus } = config.sandbox;
    const id = newId("sbx", region);
    const row: SandboxRow = {
      id,
      org_id: org.id,
      phase: "creating",
      node_id: nodes.id,
      region,
      labels: JSON.stringify(request.labels),
      memory: request.memory,
      writable_bytes: config.sandbox.diskBytes,
      session: request.session ? 1 : 0,
      allow_net: request.allowNet === undefined ? null : JSON.stringify(request.allowNet),
      created_at: Date.now(),
      stop_at: request.stopAt,
      stopped_at: null,
      reason: null,
    };
    await store.insert(row, {
      sandboxes: org.concurrentSandboxes ?? config.limits.concurrentSandboxes,
      writableBytes: config.limits.writableBytes,
    });
    this.#deadlines.set(row);
    try {
      const workload = await workloads.start(
        {
          id,
          kind: "sandbox",
          orgId: org.id,
          memory: request.memory,
          vcpus,
          env: { DENO_DEPLOY_ORGANIZATION_ID: org.id, ...request.env },
          egress: { policy, secrets },
          disks: { root: request.root, volumes: request.volumes },
        },
        signal,
      );
      if (!(await store.move(id, "running")))
        throw new CaissonError("cancelled", "The sandbox was ended while it was created.");
      log.info({ sandbox: id, org: org.slug, memory: request.memory }, "sandbox runs");
      return this.#keep(workload, request.session);
    } catch (error) {
      await this.stop(id, `not created: ${toCaissonError(error).code}`).catch((fault: unknown) =>
        log.error({ err: fault, sandbox: id }, "a failed sandbox was not cleared away; it will be tried again"),
      );
      throw error;
    }
  }

  #keep(workload: Workload, session: boolean): LiveSandbox {
    const sandbox = new LiveSandbox(workload, session);
    this.#live.set(sandbox.id, sandbox);
    // It may have ended in the meantime.
    if (workload.ended.aborted) sandbox.closeConnections(closeCodes.failed, "The sandbox has ended.");
    return sandbox;
  }

  exited({ id }: Workload, exit: MachineExit): void {
    this.#stopLater(id, `machine ${exit.reason}: ${exit.detail}`.slice(0, 500), closeCodes.failed);
  }

  /**
   * Grants a new end of life.
   * @returns epoch milliseconds
   * @throws CaissonError `invalid_argument`, `gone`
   */
  async extend(id: string, stopAt: number): Promise<number> {
    const granted = checkStopAt(stopAt, this.#options.config, Date.now());
    if (!(await this.#options.store.setStopAt(id, granted))) throw new CaissonError("gone", `Sandbox ${id} has ended.`);
    this.#deadlines.set({ id, stop_at: granted });
    return granted;
  }

  /**
   * Ends a sandbox for its owner, also one of another node.
   * @throws CaissonError `unavailable` when the server of that node does not end it in time; it will once it runs
   */
  async kill(row: SandboxRow): Promise<void> {
    const { nodes, store } = this.#options;
    if (row.node_id === nodes.id) return this.stop(row.id, "killed", closeCodes.killed);
    await store.setStopAt(row.id, Date.now());
    for (const end = performance.now() + otherNodeDeadline; performance.now() < end; await sleep(100)) {
      if ((await store.get(row.id))?.phase === "stopped") return;
    }
    throw new CaissonError("unavailable", `The server of node ${row.node_id} has not ended sandbox ${row.id} yet.`);
  }

  /** Ends a sandbox of this node in whatever phase it is and gives everything back. Idempotent; answers when it has ended. */
  stop(id: string, reason: string, code: number = closeCodes.ended): Promise<void> {
    const running = this.#stopping.get(id);
    if (running !== undefined) return running;
    const stopping = this.#stop(id, reason, code)
      .then(
        () => {
          this.#unfinished.delete(id);
          this.#deadlines.delete(id);
        },
        (error: unknown) => {
          this.#unfinished.set(id, { reason, code, again: performance.now() + retryInterval });
          throw error;
        },
      )
      .finally(() => this.#stopping.delete(id));
    this.#stopping.set(id, stopping);
    return stopping;
  }

  /** The same for those who do not wait for it. What failed is logged and tried again. */
  #stopLater(id: string, reason: string, code: number): void {
    this.stop(id, reason, code).catch((error: unknown) =>
      this.#options.log.error({ err: error, sandbox: id }, "a sandbox did not end; it will be tried again"),
    );
  }

  /** A session ends with the connection that created it. */
  endSession(id: string): void {
    this.#stopLater(id, "session ended", closeCodes.ended);
  }

  async #stop(id: string, reason: string, code: number): Promise<void> {
    const { store, workloads, log } = this.#options;
    await store.move(id, "stopping", { reason, stopped_at: Date.now() });
    const sandbox = this.#live.get(id);
    this.#live.delete(id);
    sandbox?.closeConnections(code, reason.slice(0, 100));
    await workloads.end(id);
    if (await store.move(id, "stopped")) log.info({ sandbox: id, reason }, "sandbox ended");
  }

  /** Ends what is overdue, and what could not be ended before. */
  async sweep(): Promise<void> {
    // Not awaited: one machine that ends slowly must not keep the others running.
    for (const [id, { reason, code, again }] of this.#unfinished)
      if (!this.#stopping.has(id) && again <= performance.now()) this.#stopLater(id, reason, code);
    for (const row of await this.#options.store.overdue(Date.now()))
      if (this.#deadlines.due(row)) this.#stopLater(row.id, "timeout reached", closeCodes.ended);
    // The wall clock may have been set back: those are due all the same.
    for (const id of this.#deadlines.passed()) {
      const row = await this.#options.store.get(id);
      if (row?.phase !== "running") continue;
      if (this.#deadlines.due(row)) this.#stopLater(id, "timeout reached", closeCodes.ended);
    }
  }

  async wanted(): Promise<readonly WantedWorkload[]> {
    const rows = await this.#options.store.live();
    const wanted = rows.filter(survives);
    for (const row of wanted) this.#deadlines.set(row);
    return Promise.all(wanted.map((row) => this.#wantedOf(row)));
  }

  async #wantedOf({ id, org_id, allow_net }: SandboxRow): Promise<WantedWorkload> {
    try {
      const policy = allow_net === null ? {} : { allow: JSON.parse(allow_net) as string[] };
      return { id, orgId: org_id, egress: { policy, secrets: await this.#options.secrets.of(id) } };
    } catch (error) {
      this.#options.log.error({ err: error, sandbox: id }, "a running sandbox stays without network");
      return { id, orgId: org_id, egress: undefined };
    }
  }

  adopted(workload: Workload): void {
    this.#keep(workload, false);
  }

  async settle(): Promise<void> {
    for (const row of await this.#options.store.live()) {
      if (this.#live.has(row.id)) continue;
      const session = row.phase === "running" && row.session === 1;
      await this.stop(row.id, session ? "session ended by a restart" : "lost in a restart");
    }
  }

  /** Takes no more sandboxes and ends those that run; `leave`: sessions only, as their clients lose their connection. */
  async close(what: "end" | "leave"): Promise<void> {
    this.#closing.abort(new CaissonError("unavailable", "The server is stopping."));
    await Promise.allSettled(this.#creating);
    const ending = this.live().filter((sandbox) => what === "end" || sandbox.session);
    await Promise.allSettled(ending.map((sandbox) => this.stop(sandbox.id, "the server stops")));
    for (const sandbox of this.live()) sandbox.closeConnections(closeCodes.ended, "the server restarts");
    await Promise.allSettled(this.#stopping.values());
  }
}

/** A session ended with its connection when the former process ended. */
function survives({ phase, session, stop_at }: SandboxRow): boolean {
  return phase === "running" && session === 0 && (stop_at === null || stop_at > Date.now());
}

function withoutNulls(secrets: CreateRequest["secrets"]) {
  return Object.fromEntries(
    Object.entries(secrets).map(([name, { value, hosts, inBody, methods, pathPrefixes }]) => [
      name,
      {
        value,
        hosts,
        inBody: inBody ?? undefined,
        methods: methods ?? undefined,
        pathPrefixes: pathPrefixes ?? undefined,
      },
    ]),
  );
}
