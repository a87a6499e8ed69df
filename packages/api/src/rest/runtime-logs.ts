/** What deployed code printed (wire contract 1.7). */
import { z } from "zod";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

export const runtimeLog = z
  .object({
    timestamp: z.iso.datetime(),
    level: z.enum(logLevels),
    message: z.string(),
    revision_id: z.string().optional(),
    region: z.string().optional(),
    trace_id: z.string().optional(),
    span_id: z.string().optional(),
  })
  .meta({ id: "RuntimeLog" });

export const runtimeLogPage = z
  .object({ logs: z.array(runtimeLog).describe("Oldest first."), next_cursor: z.string().nullable() })
  .meta({ id: "RuntimeLogPage" });

export type RuntimeLog = z.infer<typeof runtimeLog>;
export type RuntimeLogPage = z.infer<typeof runtimeLogPage>;
