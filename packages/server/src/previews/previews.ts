/** Public names of sandboxes' ports. They cannot be guessed, are limited per sandbox, and end with it. */
import { CaissonError, type HttpDirectory, type HttpGateway, type HttpRoute } from "@caisson/protocol";
import { randomLabel } from "../kernel/random-text.ts";
import type { Resource, Workload } from "../workloads/index.ts";
import type { Access } from "./access.ts";
import { connectInside, type Target } from "./connect.ts";
import type { PreviewStore } from "./store.ts";

export interface PreviewsOptions {
  readonly store: PreviewStore;
  /** Absent: this server exposes nothing. */
  readonly gateway: HttpGateway | undefined;
  readonly namesPerSandbox: number;
  readonly access: Access;
}

/** A name, as its owner sees it. */
export interface PreviewInfo {
  /** What a visitor writes behind `https://`. */
  readonly address: string;
  readonly port: number | undefined;
  readonly pid: number | undefined;
  readonly protected: boolean;
}

interface Name {
  readonly workload: Workload;
  readonly ended: AbortController;
  target: Target | undefined;
  /** What links are signed for; null: the name is open. */
  access: string | null;
}

/** Names that look like ours and are in no table are looked up in the database; so many at a time. */
const mostLookups = 16;

export class Previews implements HttpDirectory, Resource {
  readonly name = "previews";
  readonly #options: PreviewsOptions;
  readonly #names = new Map<string, Name>();
  #lookups = 0;
  readonly #opened = Promise.withResolvers<void>();

  constructor(options: PreviewsOptions) {
    this.#options = options;
  }

  /** Restores the names of a sandbox that was adopted after a restart. */
  async started(workload: Workload): Promise<void> {
    if (!workload.adopted) return;
    for (const { label, port, pid, access } of await this.#options.store.of(workload.id))
      this.#add(label, workload, port !== null ? { port } : pid !== null ? { pid } : undefined, access);
  }

  /** All names of adopted sandboxes are known: visits that came during the start go on. */
  open(): void {
    this.#opened.resolve();
  }

  async find(label: string): Promise<HttpRoute | "reserved" | "ended" | undefined> {
    if (!labelPattern.test(label)) return undefined;
    // Whoever asks gives up by its own deadline.
    await this.#opened.promise;
    const name = this.#names.get(label);
    if (name === undefined) return (await this.#hasEnded(label)) ? "ended" : undefined;
    const { workload, target, ended, access } = name;
    if (target === undefined) return "reserved";
    return {
      workloadId: workload.id,
      ended: ended.signal,
      connect: (signal) => connectInside(workload.agent, target, signal),
      guard: access === null ? undefined : this.#options.access.guard({ label, orgId: workload.orgId, access }),
    };
  }

  async known(label: string): Promise<boolean> {
    if (!labelPattern.test(label)) return false;
    await this.#opened.promise;
    return this.#names.has(label) || (await this.#hasEnded(label));
  }

  /** Strangers can ask without end. More at a time than some are answered with no, so that the database stays free for others. */
  async #hasEnded(label: string): Promise<boolean> {
    if (this.#lookups >= mostLookups) return false;
    this.#lookups++;
    try {
      return await this.#options.store.hasEnded(label);
    } finally {
      this.#lookups--;
    }
  }

  /**
   * Reserves a new name for this sandbox. It is bound to no port yet.
   * @returns the address without `https://`
   * @throws CaissonError `resource_exhausted`, `unsupported`, `gone`
   */
  async reserve(workload: Workload): Promise<string> {
    const { store, namesPerSandbox } = this.#options;
    const gateway = this.#gateway();
    if (this.#labelsOf(workload.id).length >= namesPerSandbox)
      throw new CaissonError(
        "resource_exhausted",
        `Sandbox ${workload.id} already holds ${namesPerSandbox} names, the limit. Bind one of them to the other port instead.`,
      );
    const label = randomLabel();
    const name = this.#add(label, workload, undefined, null);
    try {
      await store.insert(label, workload.id);
    } catch (error) {
      this.#names.delete(label);
      throw error;
    }
    if (name.ended.signal.aborted || workload.ended.aborted) {
      await this.release(workload.id);
      throw new CaissonError("gone", `Sandbox ${workload.id} has ended.`);
    }
    return gateway.addressOf(label);
  }

  /**
   * Binds a name to `target`, in place of what it was bound to before.
   * @throws CaissonError `not_found` unless the name was reserved for this very sandbox
   */
  async bind(workloadId: string, address: string, target: Target): Promise<void> {
    const [label, name] = this.#own(workloadId, address);
    await this.#options.store.update(label, {
      port: "port" in target ? target.port : null,
      pid: "pid" in target ? target.pid : null,
    });
    name.target = target;
  }

  /** The names of a sandbox. */
  list(workloadId: string): PreviewInfo[] {
    return this.#labelsOf(workloadId).map((label) => this.#info(label, this.#names.get(label)!));
  }

  /**
   * Protects a name or opens it to all. To protect it again revokes its links.
   * @throws CaissonError `not_found`
   */
  async protect(workloadId: string, address: string, wanted: boolean): Promise<PreviewInfo> {
    const [label, name] = this.#own(workloadId, address);
    const access = wanted ? randomLabel() : null;
    await this.#options.store.update(label, { access });
    name.access = access;
    return this.#info(label, name);
  }

  /**
   * A link that opens a protected name.
   * @param until milliseconds since the epoch
   * @throws CaissonError `not_found`, `invalid_state`
   */
  link(workloadId: string, address: string, until: number): string {
    const [label, { access }] = this.#own(workloadId, address);
    if (access === null)
      throw new CaissonError("invalid_state", "This address is open to all, so it needs no link. Protect it first.");
    return `https://${this.#gateway().addressOf(label)}/?caisson-access=${this.#options.access.sign({ label, access }, until)}`;
  }

  #info(label: string, { target, access }: Name): PreviewInfo {
    return {
      address: this.#gateway().addressOf(label),
      port: target !== undefined && "port" in target ? target.port : undefined,
      pid: target !== undefined && "pid" in target ? target.pid : undefined,
      protected: access !== null,
    };
  }

  #own(workloadId: string, address: string): [label: string, name: Name] {
    const label = this.#gateway().nameIn(address) ?? "";
    const name = this.#names.get(label);
    // The same error for a name of another sandbox and for none: only the owner may know that a name exists.
    if (name === undefined || name.workload.id !== workloadId)
      throw new CaissonError(
        "not_found",
        "That domain is not reserved for this sandbox. Reserve one with POST /api/v3/sandbox/{id}/expose/http.",
      );
    return [label, name];
  }

  async ending({ id }: Workload): Promise<void> {
    this.#forget(id);
  }

  /** Removes all names of a sandbox and ends the connections through them. Idempotent. */
  async release(workloadId: string): Promise<void> {
    this.#forget(workloadId);
    await this.#options.store.removeOf(workloadId);
  }

  #forget(workloadId: string): void {
    for (const label of this.#labelsOf(workloadId)) {
      this.#names.get(label)!.ended.abort();
      this.#names.delete(label);
    }
  }

  #add(label: string, workload: Workload, target: Target | undefined, access: string | null): Name {
    const name: Name = { workload, target, access, ended: new AbortController() };
    this.#names.set(label, name);
    return name;
  }

  #labelsOf(workloadId: string): string[] {
    return [...this.#names].filter(([, { workload }]) => workload.id === workloadId).map(([label]) => label);
  }

  #gateway(): HttpGateway {
    if (this.#options.gateway === undefined)
      throw new CaissonError("unsupported", "This server cannot expose ports: it runs without a gateway.");
    return this.#options.gateway;
  }
}

/** As `randomLabel` makes them. */
const labelPattern = /^[a-z2-7]{32}$/;
