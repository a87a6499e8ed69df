/** User names that lead to sandboxes by SSH. Each is random, for one sandbox, and ends with it. */
import { createHash } from "node:crypto";
import { CaissonError, type RouteDirectory, type SshGateway, type SshRoute } from "@caisson/protocol";
import { randomLabel } from "../kernel/random-text.ts";
import type { Resource, Workload } from "../workloads/index.ts";
import type { SshKeys } from "./keys.ts";
import type { SshStore } from "./store.ts";

/** User names that one sandbox can have at the same time. */
const maxUsers = 16;

export interface SshAddress {
  readonly hostname: string;
  readonly username: string;
  readonly port: number;
}

interface User {
  readonly workload: Workload;
  readonly ended: AbortController;
}

export class SshUsers implements RouteDirectory<SshRoute>, Resource {
  readonly name = "ssh";
  readonly #store: SshStore;
  readonly #gateway: SshGateway | undefined;
  readonly #keys: Pick<SshKeys, "allowed">;
  /** By hash. */
  readonly #users = new Map<string, User>();
  readonly #opened = Promise.withResolvers<void>();

  /** @param gateway absent: this server has no SSH */
  constructor(store: SshStore, gateway: SshGateway | undefined, keys: Pick<SshKeys, "allowed">) {
    this.#store = store;
    this.#gateway = gateway;
    this.#keys = keys;
  }

  /** Restores the user names of a sandbox that was adopted after a restart. */
  async started(workload: Workload): Promise<void> {
    if (!workload.adopted) return;
    for (const hash of await this.#store.of(workload.id)) this.#add(hash, workload);
  }

  /** All user names of adopted sandboxes are known: logins that came during the start go on. */
  open(): void {
    this.#opened.resolve();
  }

  async find(username: string): Promise<SshRoute | undefined> {
    // Whoever asks gives up by its own deadline.
    await this.#opened.promise;
    const user = this.#users.get(hashOf(username));
    if (user === undefined) return undefined;
    const { workload, ended } = user;
    const keys = await this.#keys.allowed(workload.orgId);
    return { workloadId: workload.id, agent: workload.agent, ended: ended.signal, ...(keys !== undefined && { keys }) };
  }

  /** @throws CaissonError `resource_exhausted`, `unsupported`, `gone` */
  async expose(workload: Workload): Promise<SshAddress> {
    if (this.#gateway === undefined)
      throw new CaissonError("unsupported", "This server has no SSH: it runs without a gateway.");
    if (this.#hashesOf(workload.id).length >= maxUsers)
      throw new CaissonError(
        "resource_exhausted",
        `Sandbox ${workload.id} already has ${maxUsers} SSH user names, the limit. Use one of them.`,
      );
    // Nobody guesses it. Logs and the database have its hash.
    const username = randomLabel();
    const hash = hashOf(username);
    const user = this.#add(hash, workload);
    try {
      await this.#store.insert(hash, workload.id);
    } catch (error) {
      this.#users.delete(hash);
      throw error;
    }
    if (user.ended.signal.aborted || workload.ended.aborted) {
      await this.release(workload.id);
      throw new CaissonError("gone", `Sandbox ${workload.id} has ended.`);
    }
    return { ...this.#gateway.address(), username };
  }

  async ending({ id }: Workload): Promise<void> {
    this.#forget(id);
  }

  /** Idempotent. */
  async release(workloadId: string): Promise<void> {
    this.#forget(workloadId);
    await this.#store.removeOf(workloadId);
  }

  #forget(workloadId: string): void {
    for (const hash of this.#hashesOf(workloadId)) {
      this.#users.get(hash)!.ended.abort();
      this.#users.delete(hash);
    }
  }

  #add(hash: string, workload: Workload): User {
    const user = { workload, ended: new AbortController() };
    this.#users.set(hash, user);
    return user;
  }

  #hashesOf(workloadId: string): string[] {
    return [...this.#users].filter(([, { workload }]) => workload.id === workloadId).map(([hash]) => hash);
  }
}

function hashOf(username: string): string {
  return createHash("sha256").update(username).digest("hex");
}
