/** Everything that validators look at, as plain data: it is kept with a failing round and can be judged again. */
import type { MachineFile } from "../world/machines.ts";
import type { StoreRows } from "../world/store.ts";

export interface Observation {
  readonly at: number;
  readonly server: ServerState;
  readonly rows: StoreRows;
  readonly machines: readonly MachineFile[];
  /** Keys of machines that have a monitor, and how many processes each has. */
  readonly monitors: Readonly<Record<string, number>>;
  readonly diskDirectories: readonly string[];
  readonly groups: readonly string[];
  readonly layerFiles: readonly string[];
  readonly blobs: readonly string[];
  /** Of the home, other than the home itself. */
  readonly mounts: readonly string[];
  readonly health: Health | string;
  /** What the list of the API returned: ids and states. */
  readonly listed: Readonly<Record<string, string>>;
  readonly limits: { readonly sandboxes: number; readonly volumes: number; readonly volumeBytes: number };
  /** What only a quiet platform is asked. Undefined: it was not asked. */
  readonly deep?: DeepObservation;
}

export interface Health {
  readonly machines: number;
  readonly pooled: number;
}

export interface ServerState {
  readonly running: boolean;
  readonly unexpectedEnds: readonly string[];
  readonly residentBytes: number;
  readonly peakResidentBytes: number;
  readonly fileDescriptors: number;
  /** Process ids of egress workers. */
  readonly workers: readonly number[];
  /** Workers of killed servers that still run. */
  readonly strayWorkers: readonly number[];
}

export interface DeepObservation {
  /** Numbers of a counting process, some time apart, or why they could not be read. By label of the sandbox. */
  readonly counters: Readonly<Record<string, readonly [number, number] | string>>;
  /** SHA-256 by name of the files of volumes and snapshots, or why they could not be read. By slug. */
  readonly contents: Readonly<Record<string, Readonly<Record<string, string>> | string>>;
  /** Status that the gateway answers a host name with, or why it did not. */
  readonly routes: Readonly<Record<string, number | string>>;
  /** What a process in a sandbox got from the upstream host, by label of the sandbox. */
  readonly egress: Readonly<Record<string, string>>;
  /** Authorization headers that the upstream host got other than the right one. */
  readonly wrongKeys: readonly string[];
  /** Whether a sandbox could be created, used and killed. Undefined: yes. */
  readonly probe: string | undefined;
}
