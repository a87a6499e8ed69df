/** Revisions over REST (wire contract 1.7, Appendix C). */
import { z } from "zod";
import { appConfig } from "./app-config.ts";
import { layerReference } from "./apps.ts";

export const revisionStatuses = ["skipped", "queued", "building", "succeeded", "failed"] as const;
export type RevisionStatus = (typeof revisionStatuses)[number];
export const failureReasons = ["error", "cancelled", "timed_out", "skipped"] as const;
export type FailureReason = (typeof failureReasons)[number];
export const retentions = ["auto", "indefinite"] as const;
export type Retention = (typeof retentions)[number];

const time = z.iso.datetime();
const common = {
  id: z.string(),
  status: z.enum(revisionStatuses),
  failure_reason: z.enum(failureReasons).nullable(),
  failure_message: z.string().nullable().describe("Which step failed and why, for people. Null: it has not failed."),
  labels: z.record(z.string(), z.string()),
  retention: z.enum(retentions).describe("`indefinite`: never removed because nobody uses it."),
  created_at: time,
  cancellation_requested_at: time.nullable(),
  build_finished_at: time.nullable(),
  deleted_at: time.nullable(),
};

export const revisionListItem = z.object(common).meta({ id: "RevisionListItem" });

export const revisionSchema = z
  .object({
    ...common,
    layers: z.array(layerReference),
    env_vars: z.array(z.object({ key: z.string(), value: z.string() })),
    config: appConfig,
  })
  .meta({ id: "Revision" });

export const updateRevisionRequest = z.object({ retention: z.enum(retentions) }).meta({ id: "UpdateRevisionRequest" });

export const timelineSchema = z
  .object({
    slug: z.string().describe("`production`, `preview` or `git-branch`."),
    partition: z.record(z.string(), z.string()).describe("Which one of several with this slug."),
    app: z.object({ id: z.string(), slug: z.string() }),
    context: z.object({ slug: z.string() }).describe("Which environment variables apply."),
    domains: z.array(z.object({ domain: z.string() })),
  })
  .meta({ id: "Timeline" });

export const buildSteps = ["preparing", "installing", "building", "deploying"] as const;
export type BuildStep = (typeof buildSteps)[number];

export const buildLogEntry = z
  .object({
    timestamp: time,
    level: z.enum(["info", "error"]),
    message: z.string(),
    step: z.enum(buildSteps),
    timeline: z.string().optional().describe("Only of the step `deploying`."),
  })
  .meta({ id: "BuildLogEntry" });

export type Revision = z.infer<typeof revisionSchema>;
export type RevisionListItem = z.infer<typeof revisionListItem>;
export type Timeline = z.infer<typeof timelineSchema>;
export type BuildLogEntry = z.infer<typeof buildLogEntry>;
