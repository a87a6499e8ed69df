/** Which names lead to which ports of which sandboxes. Names are unguessable, bounded per sandbox, and end with it. */
import { randomBytes } from "node:crypto";
import { CaissonError, type Preview, type PreviewDirectory, type PreviewGateway } from "@caisson/protocol";
import type { LiveSandbox } from "../lifecycle/live-sandbox.ts";
import type { PreviewStore } from "../store/previews.ts";
import { connectInside, type Target } from "./connect.ts";

export interface PreviewsOptions {
  readonly store: PreviewStore;
  /** Absent: this server exposes nothing. */
  readonly gateway: PreviewGateway | undefined;
  readonly namesPerSandbox: number;
}

interface Name {
  readonly sandbox: LiveSandbox;
  readonly ended: AbortController;
  target: Target | undefined;
}

export class Previews implements PreviewDirectory {
  readonly #options: PreviewsOptions;
  readonly #names = new Map<string, Name>();

  constructor(options: PreviewsOptions) {
    this.#options = options;
  }

  /** Takes back the names of sandboxes that outlived the former process, and forgets the others. */
  async restore(find: (sandboxId: string) => LiveSandbox | undefined): Promise<void> {
    for (const { label, sandbox_id, port, pid } of await this.#options.store.all()) {
      const sandbox = find(sandbox_id);
      if (sandbox === undefined) await this.#options.store.removeOf(sandbox_id);
      else this.#add(label, sandbox, port !== null ? { port } : pid !== null ? { pid } : undefined);
    }
  }

  find(label: string): Preview | "reserved" | undefined {
    const name = this.#names.get(label);
    if (name === undefined) return undefined;
    const { sandbox, target, ended } = name;
    if (target === undefined) return "reserved";
    return {
      sandboxId: sandbox.id,
      ended: ended.signal,
      connect: (signal) => connectInside(sandbox.machine.agent, target, signal),
    };
  }

  /**
   * A new name for this sandbox, which leads nowhere yet.
   * @returns what visitors write behind `https://`
   * @throws CaissonError `resource_exhausted`, `unsupported`, `gone`
   */
  async reserve(sandbox: LiveSandbox): Promise<string> {
    const { store, namesPerSandbox } = this.#options;
    const gateway = this.#gateway();
    if (this.#labelsOf(sandbox.id).length >= namesPerSandbox)
      throw new CaissonError(
        "resource_exhausted",
        `Sandbox ${sandbox.id} already holds ${namesPerSandbox} names. Expose another port at one of them: the newest wins.`,
      );
    const label = newLabel();
    const name = this.#add(label, sandbox, undefined);
    await store.insert(label, sandbox.id);
    if (name.ended.signal.aborted || sandbox.ended) {
      await this.release(sandbox.id);
      throw new CaissonError("gone", `Sandbox ${sandbox.id} has ended.`);
    }
    return gateway.addressOf(label);
  }

  /**
   * Lets a name lead to `target`; what it led to before is replaced.
   * @throws CaissonError `not_found` unless the name was reserved for this very sandbox
   */
  async bind(sandbox: LiveSandbox, address: string, target: Target): Promise<void> {
    const label = this.#gateway().labelOf(address) ?? "";
    const name = this.#names.get(label);
    // The same answer for another's name and for nobody's: whether a name exists is its owner's secret.
    if (name === undefined || name.sandbox !== sandbox)
      throw new CaissonError(
        "not_found",
        "That domain is not reserved for this sandbox. Reserve one with POST /api/v3/sandbox/{id}/expose/http.",
      );
    await this.#options.store.bind(label, {
      port: "port" in target ? target.port : null,
      pid: "pid" in target ? target.pid : null,
    });
    name.target = target;
  }

  /** Gives back every name of a sandbox and ends what is under way to it. Idempotent. */
  async release(sandboxId: string): Promise<void> {
    for (const label of this.#labelsOf(sandboxId)) {
      this.#names.get(label)!.ended.abort();
      this.#names.delete(label);
    }
    await this.#options.store.removeOf(sandboxId);
  }

  #add(label: string, sandbox: LiveSandbox, target: Target | undefined): Name {
    const name: Name = { sandbox, target, ended: new AbortController() };
    this.#names.set(label, name);
    return name;
  }

  #labelsOf(sandboxId: string): string[] {
    return [...this.#names].filter(([, { sandbox }]) => sandbox.id === sandboxId).map(([label]) => label);
  }

  #gateway(): PreviewGateway {
    if (this.#options.gateway === undefined)
      throw new CaissonError("unsupported", "This server exposes no ports of sandboxes.");
    return this.#options.gateway;
  }
}

/** 32 characters, 5 bits each: 160 bits, valid as a DNS label in one case. */
function newLabel(): string {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  return Array.from(randomBytes(32), (byte) => alphabet[byte & 31]).join("");
}
