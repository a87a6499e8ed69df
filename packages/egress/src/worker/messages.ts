/** Messages between supervisor and worker, over the private channel between parent and child process. */
import type { EgressAttachment, EgressEvent } from "@caisson/protocol";

export interface WorkerConfig {
  readonly resolve: Readonly<Record<string, string>>;
  readonly allowRanges: readonly string[];
  readonly upstreamProxy?: string;
  readonly extraCa: readonly string[];
  readonly nameServers?: readonly string[];
  /** Milliseconds in which an upstream must begin to answer. */
  readonly answerTimeout: number;
  readonly authoritySeed: Uint8Array;
  readonly logLevel: string;
}

export type ToWorker =
  | { readonly type: "configure"; readonly config: WorkerConfig }
  | { readonly type: "attach"; readonly call: number; readonly attachment: EgressAttachment }
  | { readonly type: "detach"; readonly call: number; readonly sandboxId: string }
  | { readonly type: "ping"; readonly call: number };

export type FromWorker =
  | { readonly type: "done"; readonly call: number; readonly caCertificatePem?: string }
  | { readonly type: "failed"; readonly call: number; readonly message: string }
  | { readonly type: "flood"; readonly sandboxId: string; readonly detail: string }
  | { readonly type: "events"; readonly events: readonly EgressEvent[]; readonly lost: number };
