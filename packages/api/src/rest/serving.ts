/** How an app is served: its instances. No part of Deno's contract. */
import { z } from "zod";

const instances = z.int().min(0).max(1000);

export const appScaling = z
  .strictObject({
    min_instances: instances.describe("Instances of production that run even when nobody asks."),
    max_instances: instances.min(1).describe("Most instances of one revision."),
    concurrency: z.int().min(1).max(10_000).describe("Most requests that one instance serves at a time."),
    target: z
      .number()
      .min(0.1)
      .max(10_000)
      .describe("Requests in flight that one instance should have on average. With more, another one starts."),
  })
  .meta({ id: "AppScaling" });

/** What is absent or null is as the server is configured. */
export const appScalingRequest = z
  .strictObject({
    min_instances: appScaling.shape.min_instances.nullish(),
    max_instances: appScaling.shape.max_instances.nullish(),
    concurrency: appScaling.shape.concurrency.nullish(),
    target: appScaling.shape.target.nullish(),
  })
  .meta({ id: "AppScalingRequest" });

export type AppScaling = z.infer<typeof appScaling>;
export type AppScalingRequest = z.infer<typeof appScalingRequest>;

/** How a timeline divides its requests. */
export const timelineTraffic = z
  .strictObject({
    revisions: z
      .array(
        z.strictObject({
          revision: z.string().max(64).describe("Id of a revision of the app that has been built."),
          weight: z
            .int()
            .min(0)
            .max(1000)
            .describe("Its part of the requests is this divided by the sum of all weights."),
        }),
      )
      .min(1)
      .max(10),
  })
  .meta({ id: "TimelineTraffic" });

export type TimelineTraffic = z.infer<typeof timelineTraffic>;

const time = z.iso.datetime();

export const cronJob = z
  .object({
    name: z.string(),
    schedule: z.string().describe("Five fields, in UTC; days of the week from 1 (Sunday) to 7."),
    backoff_schedule: z.array(z.number()).describe("Milliseconds before each retry."),
    next_run_at: time,
    running_since: time.nullable(),
    failed_attempts: z.int().describe("Since the time of its schedule. 0: the next run is at a time of its schedule."),
    last_run: z
      .object({ started_at: time, ended_at: time.nullable(), error: z.string().nullable() })
      .nullable()
      .describe("`error` is null when it succeeded."),
  })
  .meta({ id: "CronJob" });

export type CronJob = z.infer<typeof cronJob>;
