/** What the driver and a client process say to each other, and what is kept in the history of a run. */

/** A call of the official client. Sandboxes have labels of our own, because a create that failed gives no id. */
export type Call =
  | { readonly op: "create"; readonly sandbox: string; readonly session: boolean; readonly volumes: readonly string[] }
  | { readonly op: "connect"; readonly sandbox: string }
  | { readonly op: "kill" | "extend" | "run" | "file" | "count" | "fetch" | "expose"; readonly sandbox: string }
  /** Writes a file into a volume and flushes it to the disk. */
  | { readonly op: "record"; readonly sandbox: string; readonly volume: string; readonly file: string }
  | { readonly op: "create-volume"; readonly volume: string; readonly from: string | null }
  | { readonly op: "delete-volume"; readonly volume: string }
  | { readonly op: "snapshot"; readonly snapshot: string; readonly volume: string }
  | { readonly op: "delete-snapshot"; readonly snapshot: string }
  | { readonly op: "list" };

export type Operation = Call["op"];

export interface KnownSandbox {
  readonly label: string;
  readonly id: string;
  readonly session: boolean;
  readonly volumes: readonly string[];
  readonly counts: boolean;
}

/** What a client process may use at the beginning of a round. */
export interface Known {
  readonly sandboxes: readonly KnownSandbox[];
  readonly volumes: readonly string[];
  readonly snapshots: readonly string[];
}

export type ToClient =
  | {
      readonly type: "begin";
      readonly seed: string;
      readonly known: Known;
      readonly environment: Readonly<Record<string, string>>;
    }
  | { readonly type: "pause" };

export type FromClient = { readonly type: "started" } | { readonly type: "paused" } | Report;

export type Report =
  | { readonly type: "call"; readonly n: string; readonly call: Call }
  /** `value`: id of what was created, or host name of what was exposed. */
  | { readonly type: "ok"; readonly n: string; readonly value?: string }
  | { readonly type: "failed"; readonly n: string; readonly error: string; readonly hung: boolean }
  /** A connection to a sandbox ended. */
  | { readonly type: "closed"; readonly sandbox: string };

/** Milliseconds after which a call counts as hanging. Longer than any fault lasts. */
export const callDeadline = 60_000;

/** Where the counting process of a sandbox writes its number. */
export const countPath = "/home/app/count";
/** Host that sandboxes reach through the proxy; it answers with the key it was sent. */
export const upstreamHost = "upstream.test";
export const upstreamKey = "sk-chaos-0123456789abcdef";
/** Label by which a sandbox is found in the list. */
export const labelName = "chaos";

export function mountPath(volume: string): string {
  return `/volumes/${volume}`;
}
