/** Creates, extends and ends sandboxes. The store is the truth; `LiveSandbox` is what this process holds beside it. */
import {
  CaissonError,
  newId,
  toCaissonError,
  type Config,
  type EgressGuard,
  type Machine,
  type SandboxNode,
} from "@caisson/protocol";
import type { Logger } from "pino";
import type { Org } from "../auth/tokens.ts";
import type { SandboxRow, SandboxStore } from "../store/sandboxes.ts";
import type { SecretStore } from "../store/secrets.ts";
import { checkStopAt, type CreateRequest } from "./create-request.ts";
import { LiveSandbox } from "./live-sandbox.ts";
import type { Disks, Volumes } from "../volumes/index.ts";
import { bindSecrets } from "./placeholders.ts";

/** WebSocket close codes that a client treats as a normal end are 1000 and 1001. */
export const closeCodes = { killed: 1000, ended: 1001, failed: 1011 } as const;

/** Milliseconds for which events of an ended sandbox are still attributed. */
const lateEvents = 60_000;

export interface SandboxesOptions {
  readonly config: Config;
  readonly node: SandboxNode;
  readonly egress: EgressGuard;
  readonly volumes: Volumes;
  readonly store: SandboxStore;
  readonly secrets: SecretStore;
  /** PEM of authorities that the operator trusts. */
  readonly extraCa: readonly string[];
  readonly log: Logger;
}

export class Sandboxes {
  readonly #options: SandboxesOptions;
  readonly #live = new Map<string, LiveSandbox>();
  readonly #stopping = new Map<string, Promise<void>>();
  /** Whose machine may be opening its disks just now: they are taken back when that has come to an end, and not by a kill before. */
  readonly #attaching = new Set<string>();
  readonly #creating = new Set<Promise<LiveSandbox>>();
  /** Organisations of sandboxes that live or ended a moment ago: their last events are still coming. */
  readonly #orgs = new Map<string, string>();
  readonly #closing = new AbortController();
  readonly #ended: ((sandbox: LiveSandbox) => Promise<void>)[] = [];

  constructor(options: SandboxesOptions) {
    this.#options = options;
  }

  /** Called before a machine is ended, while its usage can still be read. */
  onEnding(listener: (sandbox: LiveSandbox) => Promise<void>): void {
    this.#ended.push(listener);
  }

  live(): readonly LiveSandbox[] {
    return [...this.#live.values()];
  }

  get(id: string): LiveSandbox | undefined {
    return this.#live.get(id);
  }

  /** While a sandbox is being ended: resolves when it has ended. */
  ending(id: string): Promise<void> | undefined {
    return this.#stopping.get(id);
  }

  orgOf(id: string): string | undefined {
    return this.#orgs.get(id);
  }

  /**
   * A running sandbox. The row is written first, so that a crash at any point leaves something to clean up by.
   * @throws CaissonError `resource_exhausted`, `invalid_argument`, `unsupported`, or what the node throws
   */
  async create(org: Org, request: CreateRequest, signal?: AbortSignal): Promise<LiveSandbox> {
    if (this.#closing.signal.aborted) throw new CaissonError("unavailable", "The server stops.");
    const creating = this.#create(org, request, AbortSignal.any([this.#closing.signal, ...(signal ? [signal] : [])]));
    this.#creating.add(creating);
    return await creating.finally(() => this.#creating.delete(creating));
  }

  async #create(org: Org, request: CreateRequest, signal: AbortSignal): Promise<LiveSandbox> {
    const { config, node, egress, store, volumes, secrets: secretStore, log } = this.#options;
    const policy = request.allowNet === undefined ? {} : { allow: request.allowNet };
    const secrets = bindSecrets(withoutNulls(request.secrets));
    egress.validate(policy, secrets);
    const id = newId("sbx", config.sandbox.region);
    const row: SandboxRow = {
      id,
      org_id: org.id,
      phase: "creating",
      region: config.sandbox.region,
      labels: JSON.stringify(request.labels),
      memory: request.memory,
      session: request.session ? 1 : 0,
      allow_net: request.allowNet === undefined ? null : JSON.stringify(request.allowNet),
      created_at: Date.now(),
      stop_at: request.stopAt,
      stopped_at: null,
      reason: null,
    };
    await store.insert(row, org.concurrentSandboxes ?? config.limits.concurrentSandboxes);
    this.#orgs.set(id, org.id);
    this.#attaching.add(id);
    try {
      await secretStore.insert(id, secrets);
      const start = (disks: Disks) =>
        node.create(
          {
            id,
            memory: request.memory,
            vcpus: config.sandbox.vcpus,
            // The last part alone: a host name may not hold `_`.
            hostname: id.slice(id.lastIndexOf("_") + 1),
            env: {
              DENO_DEPLOY_ORGANIZATION_ID: org.id,
              ...request.env,
              ...Object.fromEntries(secrets.map((secret) => [secret.name, secret.placeholder])),
            },
            ...disks,
            egress: { policy, secrets },
          },
          { signal },
        );
      const disks = await volumes.acquire(org.id, id, request);
      const machine = await start(disks).catch(async (error: unknown) => {
        if (disks.root?.standing !== true || signal.aborted) throw error;
        log.warn({ err: error, sandbox: id }, "a machine that stood on a snapshot failed; another is made");
        await volumes.release(id);
        return start(await volumes.acquire(org.id, id, request, { afresh: true }));
      });
      if (!(await store.move(id, "running"))) {
        await machine.stop();
        throw new CaissonError("cancelled", "The sandbox was ended while it was created.");
      }
      this.#attaching.delete(id);
      log.info({ sandbox: id, org: org.slug, memory: request.memory }, "sandbox runs");
      return this.#adopt({ id, orgId: org.id, session: request.session, machine, adopted: false });
    } catch (error) {
      this.#attaching.delete(id);
      await this.stop(id, `not created: ${toCaissonError(error).code}`);
      throw error;
    }
  }

  #adopt(options: { id: string; orgId: string; session: boolean; machine: Machine; adopted: boolean }): LiveSandbox {
    this.#orgs.set(options.id, options.orgId);
    const sandbox = new LiveSandbox({ ...options, extraCa: this.#options.extraCa });
    this.#live.set(sandbox.id, sandbox);
    void options.machine.exited.then((exit) => {
      if (!this.#live.has(sandbox.id)) return;
      const reason = `machine ${exit.reason}: ${exit.detail}`.slice(0, 500);
      this.stop(sandbox.id, reason, closeCodes.failed).catch((error: unknown) => {
        this.#options.log.error({ err: error, sandbox: sandbox.id }, "a sandbox did not end");
      });
    });
    return sandbox;
  }

  /**
   * Grants a new end of life.
   * @returns epoch milliseconds
   * @throws CaissonError `invalid_argument`, `gone`
   */
  async extend(id: string, stopAt: number): Promise<number> {
    const granted = checkStopAt(stopAt, this.#options.config, Date.now());
    if (!(await this.#options.store.setStopAt(id, granted))) throw new CaissonError("gone", `Sandbox ${id} has ended.`);
    return granted;
  }

  /** Ends a sandbox in whatever phase it is and gives everything back. Idempotent; answers when it has ended. */
  stop(id: string, reason: string, code: number = closeCodes.ended): Promise<void> {
    const running = this.#stopping.get(id);
    if (running !== undefined) return running;
    const stopping = this.#stop(id, reason, code).finally(() => this.#stopping.delete(id));
    this.#stopping.set(id, stopping);
    return stopping;
  }

  async #stop(id: string, reason: string, code: number): Promise<void> {
    const { store, secrets, volumes, node, log } = this.#options;
    await store.move(id, "stopping", { reason, stopped_at: Date.now() });
    const sandbox = this.#live.get(id);
    this.#live.delete(id);
    sandbox?.closeConnections(code, reason.slice(0, 100));
    for (const listener of sandbox === undefined ? [] : this.#ended) {
      await listener(sandbox!).catch((error: unknown) =>
        log.warn({ err: error, sandbox: id }, "final usage of a sandbox is not known"),
      );
    }
    const machine = sandbox?.machine ?? node.get(id);
    await machine?.stop();
    if (!this.#attaching.has(id)) await volumes.release(id);
    await secrets.remove(id);
    setTimeout(() => this.#orgs.delete(id), lateEvents).unref();
    if (await store.move(id, "stopped")) log.info({ sandbox: id, reason }, "sandbox ended");
  }

  /** Brings store and machines together after a start: adopts what should run, ends and records the rest. */
  async reconcile(signal?: AbortSignal): Promise<void> {
    const { store, secrets, node, log } = this.#options;
    const rows = new Map((await store.live()).map((row) => [row.id, row]));
    const now = Date.now();
    // A session ended with its connection when the former process went away.
    const wanted = (id: string) => {
      const row = rows.get(id);
      return (
        row !== undefined && row.phase === "running" && row.session === 0 && (row.stop_at === null || row.stop_at > now)
      );
    };
    const report = await node.start({
      wanted,
      egressOf: async (id) => {
        const allow = rows.get(id)?.allow_net;
        return { policy: allow == null ? {} : { allow: JSON.parse(allow) as string[] }, secrets: await secrets.of(id) };
      },
      ...(signal === undefined ? {} : { signal }),
    });
    for (const row of rows.values()) {
      const machine = node.get(row.id);
      if (machine !== undefined && wanted(row.id)) {
        this.#adopt({ id: row.id, orgId: row.org_id, session: false, machine, adopted: true });
      } else {
        await this.stop(
          row.id,
          row.phase === "running" && row.session === 1 ? "session ended by a restart" : "lost in a restart",
        );
      }
    }
    if (report.adopted.length + report.reclaimed.length > 0) log.info(report, "sandboxes of the former process");
  }

  /** Takes no more sandboxes and ends those that run; `leave`: sessions only, as their clients lose their connection. */
  async close(what: "end" | "leave"): Promise<void> {
    this.#closing.abort(new CaissonError("unavailable", "The server stops."));
    await Promise.allSettled(this.#creating);
    const ending = this.live().filter((sandbox) => what === "end" || sandbox.session);
    await Promise.allSettled(ending.map((sandbox) => this.stop(sandbox.id, "the server stops")));
    for (const sandbox of this.live()) sandbox.closeConnections(closeCodes.ended, "the server restarts");
    await Promise.allSettled(this.#stopping.values());
  }
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
