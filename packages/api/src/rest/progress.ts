/** Progress of a build (wire contract 1.9): one state object for all stages. */
import { z } from "zod";

const time = z.iso.datetime();

const endedStage = z.enum(["succeeded", "timed_out", "cancelled", "errored"]);
const stage = z.union([
  z.object({ status: z.literal("pending") }),
  z.object({ status: z.literal("skipped") }),
  z.object({ status: z.literal("running"), start: time }),
  z.object({ status: endedStage, start: time, end: time }),
]);
const command = z.object({ command: z.string().nullable() });
const partition = z.record(z.string(), z.string());

const timelineStage = z.intersection(
  stage,
  z.object({
    slug: z.string(),
    partition,
    database: stage,
    predeploy: z.intersection(stage, command),
    warmup: stage.optional(),
    routing: z.union([
      stage,
      z.object({
        status: z.literal("timeline_blocked"),
        timelines: z.array(z.object({ slug: z.string(), partition })),
        stage: z.literal("warmup"),
      }),
    ]),
  }),
);

export const revisionProgress = z
  .object({
    queued: stage,
    preparing: stage,
    installing: z.intersection(stage, command),
    building: z.intersection(stage, command),
    deploying: z.intersection(stage, z.object({ timelines: z.array(timelineStage) })),
  })
  .meta({ id: "RevisionProgress" });

export type ProgressStage = z.infer<typeof stage>;
export type TimelineProgress = z.infer<typeof timelineStage>;
export type RevisionProgress = z.infer<typeof revisionProgress>;
