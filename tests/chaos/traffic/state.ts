/** What a client process knows and may use: its sandboxes, volumes and snapshots. */
import type { Sandbox } from "@deno/sandbox";
import type { Call, Known } from "./messages.ts";

export interface OwnSandbox {
  readonly label: string;
  readonly id: string;
  readonly session: boolean;
  readonly volumes: readonly string[];
  counts: boolean;
  exposed: number;
  sandbox: Sandbox | undefined;
}

export class State {
  readonly sandboxes = new Map<string, OwnSandbox>();
  readonly volumes = new Set<string>();
  readonly snapshots = new Set<string>();
  /** Creates in progress. */
  creating = 0;
  readonly #prefix: string;
  #names = 0;
  /** Used by a call in progress, so no other call chooses them. */
  readonly busy = new Set<string>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  newName(kind: string): string {
    return `${kind}-${this.#prefix}-${++this.#names}`;
  }

  begin(known: Known): void {
    const former = new Map(this.sandboxes);
    this.sandboxes.clear();
    for (const sandbox of known.sandboxes) {
      const open = former.get(sandbox.label);
      this.sandboxes.set(sandbox.label, {
        ...sandbox,
        counts: sandbox.counts || open?.counts === true,
        exposed: open?.exposed ?? 0,
        sandbox: open?.sandbox,
      });
    }
    for (const [names, set] of [
      [known.volumes, this.volumes],
      [known.snapshots, this.snapshots],
    ] as const) {
      set.clear();
      for (const name of names) set.add(name);
    }
    this.busy.clear();
    this.creating = 0;
  }

  connection(label: string): OwnSandbox | undefined {
    return this.sandboxes.get(label);
  }

  attached(volume: string): boolean {
    return [...this.sandboxes.values()].some(({ volumes }) => volumes.includes(volume));
  }

  called(call: Call): void {
    for (const name of namesOf(call)) this.busy.add(name);
    if (call.op === "create") this.creating++;
    if (call.op === "kill") this.sandboxes.get(call.sandbox)!.counts = false;
  }

  answered(call: Call, value: string | undefined): void {
    this.#settled(call);
    if (call.op === "create-volume") this.volumes.add(call.volume);
    if (call.op === "snapshot") this.snapshots.add(call.snapshot);
    if (call.op === "create" && value !== undefined) {
      const { sandbox: label, session, volumes } = call;
      const sandbox = this.#pending.get(label);
      this.#pending.delete(label);
      this.sandboxes.set(label, { label, id: value, session, volumes, counts: false, exposed: 0, sandbox });
    }
    const own = "sandbox" in call ? this.sandboxes.get(call.sandbox) : undefined;
    if (own !== undefined && call.op === "count") own.counts = true;
    if (own !== undefined && call.op === "expose") own.exposed++;
  }

  failed(call: Call, error: string): void {
    this.#settled(call);
    if ("sandbox" in call && /\bGONE\b|has ended/.test(error)) this.sandboxes.delete(call.sandbox);
  }

  /** The last call about it removed it, or may have: nobody uses it again before the driver knows. */
  #settled(call: Call): void {
    for (const name of namesOf(call)) this.busy.delete(name);
    if (call.op === "create") this.creating--;
    if (call.op === "kill") this.sandboxes.delete(call.sandbox);
    if (call.op === "delete-volume") this.volumes.delete(call.volume);
    if (call.op === "delete-snapshot") this.snapshots.delete(call.snapshot);
  }

  readonly #pending = new Map<string, Sandbox>();

  connected(label: string, sandbox: Sandbox, _session: boolean): void {
    const own = this.sandboxes.get(label);
    if (own === undefined) this.#pending.set(label, sandbox);
    else own.sandbox = sandbox;
  }

  /** @returns whether it was the connection in use */
  closed(label: string, sandbox: Sandbox): boolean {
    if (this.#pending.get(label) === sandbox) return this.#pending.delete(label);
    const own = this.sandboxes.get(label);
    if (own?.sandbox !== sandbox) return own === undefined;
    own.sandbox = undefined;
    if (own.session) this.sandboxes.delete(label);
    return true;
  }
}

/** What a call changes, so that no other call uses it at the same time. */
function namesOf(call: Call): readonly string[] {
  switch (call.op) {
    case "create":
      return call.volumes;
    case "kill":
    case "count":
      return [call.sandbox];
    case "create-volume":
      return call.from === null ? [] : [call.from];
    case "delete-volume":
    case "snapshot":
      return [call.volume];
    case "delete-snapshot":
      return [call.snapshot];
    default:
      return [];
  }
}
