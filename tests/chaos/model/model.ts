/**
 * What clients were told, and what may be expected because of it. A call that failed is unknown: what it asked for may have happened
 * or not, and both are right until the store shows which.
 */
import type { Call, Known } from "../traffic/messages.ts";
import type { Event } from "./events.ts";

/** `present` and `absent`: a client was told so, or the store has shown it. `unknown`: both are right. */
export type Belief = "present" | "absent" | "unknown";

export interface SandboxBelief {
  readonly label: string;
  readonly client: string;
  readonly session: boolean;
  readonly volumes: readonly string[];
  id: string | undefined;
  belief: Belief;
  /** Its client, server or machine died: it may not run when all is quiet. */
  mustEnd: string | undefined;
  /** It counts, and this is the last number that was seen. */
  counted: number | undefined;
  readonly hostnames: string[];
}

export interface VolumeBelief {
  readonly slug: string;
  readonly client: string;
  belief: Belief;
  damaged: boolean;
  /** Files that were written and flushed. */
  readonly files: Set<string>;
}

export interface SnapshotBelief extends VolumeBelief {
  readonly volume: string;
}

/** Whether it has to run when all is quiet. */
export function mustRun({ belief, mustEnd }: SandboxBelief): boolean {
  return belief === "present" && mustEnd === undefined;
}

interface Pending {
  readonly client: string;
  readonly call: Call;
  /** Files of the volume when a snapshot was asked for. */
  readonly files?: readonly string[];
  /** The server was killed while it read the output of a command: the official client then waits for ever, see `readsOutput`. */
  cutOff?: boolean;
}

/**
 * A connection that breaks fails the requests of the official client (0.13.2), and leaves the streams open that it reads: what reads
 * them never returns. A server that closes a connection ends them before.
 */
const readsOutput: ReadonlySet<Call["op"]> = new Set(["run", "fetch", "record"]);

export class Model {
  readonly sandboxes = new Map<string, SandboxBelief>();
  readonly volumes = new Map<string, VolumeBelief>();
  readonly snapshots = new Map<string, SnapshotBelief>();
  readonly pending = new Map<string, Pending>();
  /** Calls that had no answer in time, and answers that were wrong. */
  readonly complaints: string[] = [];
  readonly counts = { ok: 0, failed: 0 };
  /** Sandboxes that must end, or may, although nobody was told their ids yet. */
  readonly #doubted = new Map<string, Extract<Event, { type: "must-end" | "may-end" }>>();

  static of(events: Iterable<Event>): Model {
    const model = new Model();
    for (const event of events) model.apply(event);
    return model;
  }

  apply(event: Event): void {
    switch (event.type) {
      case "call":
        return this.#called(event.n, event.client, event.call);
      case "ok":
      case "failed":
        return this.#answered(event);
      case "closed": {
        const sandbox = this.sandboxes.get(event.sandbox);
        if (sandbox?.session === true) sandbox.mustEnd ??= "its connection closed";
        return;
      }
      case "server-killed":
        for (const sandbox of this.sandboxes.values()) if (sandbox.session) sandbox.mustEnd ??= "the server was killed";
        if (event.orderly === true) return;
        for (const pending of this.pending.values()) if (readsOutput.has(pending.call.op)) pending.cutOff = true;
        return;
      case "client-killed":
        for (const [n, { client }] of this.pending)
          if (client === event.client) this.#failed(n, "the client was killed");
        for (const sandbox of this.sandboxes.values())
          if (sandbox.session && sandbox.client === event.client) sandbox.mustEnd ??= "its client was killed";
        return;
      case "must-end":
      case "may-end":
        this.#doubted.set(event.id, event);
        for (const sandbox of this.sandboxes.values()) this.#applyDoubt(sandbox);
        return;
      case "damaged":
      case "mended":
        for (const slug of event.slugs)
          for (const belief of [this.volumes.get(slug), this.snapshots.get(slug)])
            if (belief !== undefined) belief.damaged = event.type === "damaged";
        return;
      case "resolved":
        return this.#resolved(event);
      case "counted": {
        const sandbox = this.sandboxes.get(event.sandbox);
        if (sandbox !== undefined) sandbox.counted = event.value;
        return;
      }
    }
  }

  /** What a client process may use in the next round. */
  known(client: string): Known {
    const own = <T extends { client: string; belief: Belief }>(map: Map<string, T>): T[] =>
      [...map.values()].filter((entry) => entry.client === client && entry.belief === "present");
    return {
      sandboxes: own(this.sandboxes).flatMap(({ label, id, session, volumes, counted, mustEnd }) =>
        id === undefined || mustEnd !== undefined
          ? []
          : [{ label, id, session, volumes, counts: counted !== undefined }],
      ),
      volumes: own(this.volumes).flatMap(({ slug, damaged }) => (damaged ? [] : [slug])),
      snapshots: own(this.snapshots).flatMap(({ slug, damaged }) => (damaged ? [] : [slug])),
    };
  }

  #called(n: string, client: string, call: Call): void {
    const files = call.op === "snapshot" ? [...(this.volumes.get(call.volume)?.files ?? [])] : undefined;
    this.pending.set(n, { client, call, ...(files !== undefined && { files }) });
    if (call.op === "create") {
      const { sandbox: label, session, volumes } = call;
      const empty = { id: undefined, mustEnd: undefined, counted: undefined, hostnames: [] };
      this.sandboxes.set(label, { label, client, session, volumes, belief: "unknown", ...empty });
    }
    if (call.op === "create-volume") {
      const from = call.from === null ? undefined : this.snapshots.get(call.from);
      this.volumes.set(call.volume, volumeBelief(call.volume, client, from?.files));
    }
    if (call.op === "snapshot")
      this.snapshots.set(call.snapshot, { ...volumeBelief(call.snapshot, client, files), volume: call.volume });
    if (call.op === "kill") this.#doubt(this.sandboxes.get(call.sandbox));
    if (call.op === "delete-volume") this.#doubt(this.volumes.get(call.volume));
    if (call.op === "delete-snapshot") this.#doubt(this.snapshots.get(call.snapshot));
  }

  #applyDoubt(sandbox: SandboxBelief): void {
    const doubt = this.#doubted.get(sandbox.id ?? "");
    if (doubt === undefined || sandbox.belief === "absent") return;
    sandbox.belief = "unknown";
    if (doubt.type === "must-end") sandbox.mustEnd ??= doubt.why;
  }

  #doubt(entry: { belief: Belief } | undefined): void {
    if (entry?.belief === "present") entry.belief = "unknown";
  }

  #answered(event: Extract<Event, { type: "ok" | "failed" }>): void {
    const pending = this.pending.get(event.n);
    if (pending === undefined) return;
    if (event.type === "failed") {
      const about = `${pending.call.op} of ${pending.client}: ${event.error}`;
      const hung = event.hung && pending.cutOff !== true;
      if (hung || event.error.includes("WRONG ANSWER")) this.complaints.push(about);
      this.#failed(event.n, event.error);
      return;
    }
    this.pending.delete(event.n);
    this.counts.ok++;
    this.#told(pending, event.value);
  }

  #failed(n: string, _why: string): void {
    const call = this.pending.get(n)?.call;
    this.pending.delete(n);
    this.counts.failed++;
    // The connection that a session would end with was never there.
    const sandbox = call?.op === "create" ? this.sandboxes.get(call.sandbox) : undefined;
    if (sandbox?.session === true) sandbox.mustEnd ??= "its creation failed";
  }

  #told({ call }: Pending, value: string | undefined): void {
    const sandbox = "sandbox" in call ? this.sandboxes.get(call.sandbox) : undefined;
    switch (call.op) {
      case "create":
        if (sandbox === undefined) return;
        sandbox.id = value;
        if (sandbox.mustEnd === undefined && sandbox.belief === "unknown") sandbox.belief = "present";
        this.#applyDoubt(sandbox);
        return;
      case "kill":
        if (sandbox !== undefined) sandbox.belief = "absent";
        return;
      case "count":
        if (sandbox !== undefined) sandbox.counted ??= 0;
        return;
      case "expose":
        if (value !== undefined) sandbox?.hostnames.push(value);
        return;
      case "record":
        this.volumes.get(call.volume)?.files.add(call.file);
        return;
      case "create-volume":
        this.volumes.get(call.volume)!.belief = "present";
        return;
      case "snapshot":
        this.snapshots.get(call.snapshot)!.belief = "present";
        return;
      case "delete-volume":
        this.volumes.get(call.volume)!.belief = "absent";
        return;
      case "delete-snapshot":
        this.snapshots.get(call.snapshot)!.belief = "absent";
    }
  }

  #resolved({ kind, name, id }: Extract<Event, { type: "resolved" }>): void {
    const entry = { sandbox: this.sandboxes, volume: this.volumes, snapshot: this.snapshots }[kind].get(name);
    if (entry === undefined) return;
    entry.belief = id === null ? "absent" : "present";
    if (kind !== "sandbox" || id === null) return;
    (entry as SandboxBelief).id = id;
    this.#doubted.delete(id);
  }
}

function volumeBelief(slug: string, client: string, files: Iterable<string> = []): VolumeBelief {
  return { slug, client, belief: "unknown", damaged: false, files: new Set(files) };
}
