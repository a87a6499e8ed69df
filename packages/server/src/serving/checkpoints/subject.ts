/** What a checkpoint is made for, and the note that is kept with it. */
import type { Config, SandboxNode } from "@caisson/protocol";
import type { Logger } from "pino";
import { z } from "zod";
import type { Workloads, WorkloadPlan } from "../../workloads/index.ts";
import type { Program } from "../program.ts";

/** What instances are started for. */
export interface Subject {
  readonly revisionId: string;
  readonly orgId: string;
  /** Key of the timeline. */
  readonly timeline: string;
  /** Of an instance; its id does not matter. */
  readonly plan: WorkloadPlan;
  readonly program: Program;
}

export const noteSchema = z.object({
  version: z.literal(1),
  orgId: z.string(),
  /** Of everything that is in the memory of its program. */
  digest: z.string(),
  pid: z.int(),
  stdout: z.string().regex(/^\d{1,20}$/),
  stderr: z.string().regex(/^\d{1,20}$/),
  port: z.int().min(1).max(65_535),
  hook: z.object({ socket: z.string() }),
});

export type Note = z.infer<typeof noteSchema>;

export interface CheckpointsOptions {
  readonly config: Pick<Config, "serving" | "sandbox">;
  readonly node: SandboxNode;
  readonly workloads: Workloads;
  readonly log: Logger;
}
