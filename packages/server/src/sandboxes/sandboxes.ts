/** Creates, extends and ends sandboxes. The store is the truth; `LiveSandbox` is what this process holds beside it. */
import { setTimeout as sleep } from "node:timers/promises";
import type { SandboxNetwork } from "@caisson/api";
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
import { withReserve } from "../kernel/database/reserve.ts";
import type { Org } from "../kernel/http/context.ts";
import { within } from "../kernel/within.ts";
import type { Nodes } from "../nodes/nodes.ts";
import { bindSecrets } from "../secrets/placeholders.ts";
import type { SecretStore } from "../secrets/store.ts";
import type { WantedWorkload, Workload, WorkloadOwner, Workloads } from "../workloads/index.ts";
import { developmentServerHosts } from "./development-servers.ts";
import { checkStopAt, type CreateRequest } from "./create-request.ts";
import { Deadlines } from "./deadlines.ts";
import { Ends, type End } from "./ends.ts";
import { toListItem, type SandboxListItem } from "./list-item.ts";
import { LiveSandbox } from "./live-sandbox.ts";
import { networkColumn, policyOf, policyOfRow } from "./network.ts";
import { newRow, withoutNulls } from "./new-row.ts";
import type { SandboxRow, SandboxStore } from "./store.ts";
import { Sweeps } from "./sweeps.ts";
import { whileWanted } from "./while-wanted.ts";

/** WebSocket close codes that a client treats as a normal end are 1000 and 1001. */
export const closeCodes = { killed: 1000, ended: 1001, failed: 1011 } as const;

/** Milliseconds to wait for another server to end a sandbox of its node. Clients give up after 10 s. */
const otherNodeDeadline = 8_000;

export interface SandboxesOptions {
  readonly config: Config;
  readonly nodes: Nodes;
  readonly workloads: Workloads;
  readonly secrets: SecretStore;
  readonly volumes: { writableBytes(orgId: string, root: string | undefined): Promise<number> };
  readonly store: SandboxStore;
  readonly log: Logger;
}

/** Milliseconds to wait for a machine to end. Clients give up after 10 s. */
const killPatience = 8_000;
/** Milliseconds to wait for an end to be recorded. It has ended all the same, and is recorded later. */
const recordPatience = 2_000;

export class Sandboxes implements WorkloadOwner {
  readonly #options: SandboxesOptions;
  readonly #live = new Map<string, LiveSandbox>();
  readonly #ends: Ends;
  readonly #deadlines = new Deadlines();
  readonly #creating = new Map<string, Promise<unknown>>();
  readonly #closing = new AbortController();
  /** To be made again and again while the server runs. */
  readonly sweeps: Sweeps;

  constructor(options: SandboxesOptions) {
    this.#options = options;
    const { config, store, log } = options;
    this.sweeps = new Sweeps({
      store,
      deadlines: this.#deadlines,
      live: this.#live,
      ending: (id) => this.#ends.of(id) !== undefined,
      known: (id) => this.#live.has(id) || this.#creating.has(id) || options.workloads.isLeft(id),
      begin: (id, orgId, reason) => void this.#begin(id, orgId, reason),
      endSession: (sandbox) => this.endSession(sandbox),
      grace: config.sandbox.sessionGrace * 1000,
      log,
    });
    this.#ends = new Ends({
      kill: (id) => options.workloads.kill(id),
      record: (id, end) => withReserve(() => this.#record(id, end)),
      log: options.log,
    });
  }

  live(): readonly LiveSandbox[] {
    return [...this.#live.values()];
  }

  get(id: string): LiveSandbox | undefined {
    return this.#live.get(id);
  }

  /** Of a sandbox that has ended here, also while that is not recorded yet. */
  endOf(id: string): End | undefined {
    return this.#ends.of(id);
  }

  /** The newest ones of an organisation, running and stopped. */
  async list(orgId: string, limit: number): Promise<readonly SandboxListItem[]> {
    const rows = await this.#options.store.list({ orgId, labels: {}, limit, before: undefined });
    return rows.map((row) => toListItem(row, this.endOf(row.id)));
  }

  /** @throws CaissonError `not_found`: also for a sandbox of another organisation, which this one must not learn about */
  async row(orgId: string, id: string): Promise<SandboxRow> {
    const row = sandboxIdPattern.test(id) ? await this.#options.store.get(id) : undefined;
    if (row === undefined || row.org_id !== orgId) throw noSandbox(id);
    return row;
  }

  /**
   * A running sandbox of an organisation, on this node.
   * @throws CaissonError `not_found`, `gone`, `unavailable` when it runs on another node
   */
  async find(orgId: string, id: string): Promise<LiveSandbox> {
    const { phase, node_id, reason } = await this.row(orgId, id);
    const sandbox = this.#live.get(id);
    if (phase === "running" && node_id !== this.#options.nodes.id)
      throw new CaissonError("unavailable", `Sandbox ${id} runs on node ${node_id}. Use the server of that node.`);
    if (phase === "running" && this.#options.workloads.isLeft(id))
      throw new CaissonError(
        "unavailable",
        `Sandbox ${id} was started by a newer version of the server. It can only be ended until that version runs again.`,
      );
    if (phase !== "running" || sandbox === undefined || sandbox.ended.aborted)
      throw new CaissonError("gone", `Sandbox ${id} has ended: ${this.endOf(id)?.reason ?? reason ?? "just now"}.`);
    return sandbox;
  }

  /**
   * A running sandbox. The row is written first, so that a crash at any point leaves something to clean up by.
   * @throws CaissonError `resource_exhausted`, `invalid_argument`, `unsupported`, or what the node throws
   */
  async create(org: Org, request: CreateRequest, signal?: AbortSignal): Promise<LiveSandbox> {
    if (this.#closing.signal.aborted) throw new CaissonError("unavailable", "The server is stopping.");
    const id = newId("sbx", this.#options.config.sandbox.region);
    const aborted = AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]);
    const creating = this.#create(id, org, request, aborted);
    const finished = creating.finally(() => this.#creating.delete(id));
    this.#creating.set(id, finished);
    if (signal === undefined) return await finished;
    return await whileWanted(finished, signal, (sandbox) => {
      this.stop(sandbox.id, sandbox.orgId, "not created: cancelled").catch((error: unknown) =>
        this.#options.log.error({ err: error, sandbox: sandbox.id }, "a cancelled sandbox was not ended yet"),
      );
    });
  }

  async #create(id: string, org: Org, request: CreateRequest, signal: AbortSignal): Promise<LiveSandbox> {
    const { config, nodes, store, volumes, workloads, log } = this.#options;
    const policy = policyOf(request.allowNet, request.network);
    const secrets = bindSecrets(withoutNulls(request.secrets));
    validateEgress(policy, secrets);
    const { region, vcpus } = config.sandbox;
    const row = newRow(id, org.id, nodes.id, request, {
      region,
      writableBytes: await volumes.writableBytes(org.id, request.root),
    });
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
          env: {
            DENO_DEPLOY_ORGANIZATION_ID: org.id,
            ...developmentServerHosts(config.gateway.domain),
            ...request.env,
          },
          egress: { policy, secrets },
          disks: { root: request.root, volumes: request.volumes, writableBytes: row.writable_bytes },
        },
        signal,
      );
      if (this.#ends.of(id) !== undefined || !(await store.move(id, "running")))
        throw new CaissonError("cancelled", "The sandbox was ended while it was created.");
      log.info({ sandbox: id, org: org.slug, memory: request.memory }, "sandbox runs");
      return this.#keep(workload, request.session);
    } catch (error) {
      // Its end may have begun before there was a machine.
      await workloads.kill(id).catch((fault: unknown) => log.debug({ err: fault, sandbox: id }, "not killed yet"));
      await this.stop(id, org.id, `not created: ${toCaissonError(error).code}`).catch((fault: unknown) =>
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

  exited({ id, orgId }: Pick<Workload, "id" | "orgId">, exit: MachineExit): void {
    this.#begin(id, orgId, `machine ${exit.reason}: ${exit.detail}`.slice(0, 500), closeCodes.failed);
  }

  /**
   * Grants a new end of life.
   * @returns epoch milliseconds
   * @throws CaissonError `invalid_argument`, `gone`
   */
  async extend(id: string, stopAt: number): Promise<number> {
    const granted = checkStopAt(stopAt, this.#options.config, Date.now());
    if (this.#ends.of(id) !== undefined || !(await this.#options.store.setStopAt(id, granted)))
      throw new CaissonError("gone", `Sandbox ${id} has ended.`);
    this.#deadlines.set({ id, stop_at: granted });
    return granted;
  }

  /**
   * Ends a sandbox for its owner, also one of another node. One of this node ends whether the database answers or not.
   * @throws CaissonError `not_found`; `unavailable` when it does not end in time. It will
   */
  async kill(orgId: string, id: string): Promise<void> {
    const here = this.#live.get(id) ?? this.#ends.of(id);
    if (here?.orgId !== undefined) {
      if (here.orgId !== orgId) throw noSandbox(id);
      return this.stop(id, orgId, "killed", closeCodes.killed);
    }
    const { nodes, store } = this.#options;
    const row = await this.row(orgId, id);
    if (row.phase === "stopped") return;
    if (row.node_id === nodes.id) return this.stop(id, orgId, "killed", closeCodes.killed);
    await store.setStopAt(id, Date.now());
    for (const end = performance.now() + otherNodeDeadline; performance.now() < end; await sleep(100)) {
      if ((await store.get(id))?.phase === "stopped") return;
    }
    throw new CaissonError("unavailable", `The server of node ${row.node_id} has not ended sandbox ${id} yet.`);
  }

  /**
   * Ends a sandbox of this node in whatever phase it is and gives everything back. Idempotent. Answers when its machine has ended, and
   * that is recorded or cannot be recorded now.
   * @throws CaissonError `unavailable` when the machine has not ended yet. It will
   */
  async stop(id: string, orgId: string, reason: string, code?: number): Promise<void> {
    const { killed, recorded } = this.#begin(id, orgId, reason, code);
    if (!(await within(killPatience, killed)))
      throw new CaissonError("unavailable", `The machine of sandbox ${id} has not ended yet. Try again.`);
    await within(recordPatience, recorded);
  }

  /** Begins to end a sandbox, which nothing stops any more. */
  #begin(id: string, orgId: string | undefined, reason: string, code: number = closeCodes.ended) {
    const ending = this.#ends.begin(id, orgId, reason);
    const sandbox = this.#live.get(id);
    this.#live.delete(id);
    this.#deadlines.delete(id);
    sandbox?.closeConnections(code, reason.slice(0, 100));
    return ending;
  }

  async #record(id: string, { reason, stoppedAt }: End): Promise<void> {
    const { store, workloads, log } = this.#options;
    const unwritten = workloads.unwritten(id);
    const lost = unwritten.length === 0 ? "" : "; the last writes to its volumes may be missing";
    await store.move(id, "stopping", { reason: `${reason.slice(0, 400)}${lost}`, stopped_at: stoppedAt });
    await workloads.giveBack(id);
    if (await store.move(id, "stopped")) log.info({ sandbox: id, reason, unwritten }, "sandbox ended");
  }

  /** A session ends with the connection that created it. */
  endSession(sandbox: LiveSandbox): void {
    const { id, orgId } = sandbox;
    // Its connections also end because it ends.
    if (this.#live.get(id) === sandbox) this.#begin(id, orgId, "session ended");
  }

  async wanted(): Promise<readonly WantedWorkload[]> {
    const rows = await this.#options.store.live();
    const wanted = rows.filter(survives);
    for (const row of wanted) this.#deadlines.set(row);
    return Promise.all(wanted.map((row) => this.#wantedOf(row)));
  }

  async #wantedOf(row: SandboxRow): Promise<WantedWorkload> {
    const { id, org_id } = row;
    try {
      const policy = policyOfRow(row);
      return { id, orgId: org_id, egress: { policy, secrets: await this.#options.secrets.of(id) } };
    } catch (error) {
      this.#options.log.error({ err: error, sandbox: id }, "a running sandbox stays without network");
      return { id, orgId: org_id, egress: undefined };
    }
  }

  adopted(workload: Workload): void {
    this.#keep(workload, false);
  }

  /**
   * Changes which hosts of a running sandbox are passed through and which have authorities. Its connections to the outside end.
   * @throws CaissonError `invalid_argument`, `not_found`, `gone`, `unavailable`
   */
  async setNetwork(orgId: string, id: string, network: SandboxNetwork): Promise<void> {
    await this.find(orgId, id);
    const { store, workloads } = this.#options;
    const column = networkColumn(network);
    const policy = policyOfRow({ ...(await this.row(orgId, id)), network: column });
    const secrets = await this.#options.secrets.of(id);
    validateEgress(policy, secrets);
    if (!(await store.setNetwork(id, column))) throw new CaissonError("gone", `Sandbox ${id} has ended.`);
    await workloads.setEgress(id, { policy, secrets });
  }

  async settle(): Promise<void> {
    const { store, workloads } = this.#options;
    const lost = (await store.live()).filter(({ id }) => !this.#live.has(id) && !workloads.isLeft(id));
    const ends = lost.map(({ id, org_id, phase, session }) => {
      const ended = phase === "running" && session === 1;
      return this.stop(id, org_id, ended ? "session ended by a restart" : "lost in a restart");
    });
    // One that takes longer must not keep the others from being served.
    for (const end of await Promise.allSettled(ends))
      if (end.status === "rejected")
        this.#options.log.error({ err: end.reason as unknown }, "a sandbox has not ended yet");
  }

  /** Takes no more sandboxes and ends those that run; `leave`: sessions only, as their clients lose their connection. */
  async close(what: "end" | "leave"): Promise<void> {
    this.#closing.abort(new CaissonError("unavailable", "The server is stopping."));
    await Promise.allSettled(this.#creating.values());
    const ending = this.live().filter((sandbox) => what === "end" || sandbox.session);
    const ends = ending.map(({ id, orgId }) => this.#begin(id, orgId, "the server stops"));
    for (const sandbox of this.live()) sandbox.closeConnections(closeCodes.ended, "the server restarts");
    await within(killPatience, Promise.all(ends.map(({ killed }) => killed)));
    await this.#ends.close(recordPatience);
  }
}

function noSandbox(id: string): CaissonError {
  return new CaissonError("not_found", `There is no sandbox ${id.slice(0, 64)}.`);
}

/** A session ended with its connection when the former process ended. */
function survives({ phase, session, stop_at }: SandboxRow): boolean {
  return phase === "running" && session === 0 && (stop_at === null || stop_at > Date.now());
}
