/** A sandbox as lists have it. */
import type { sandboxSchema } from "@caisson/api";
import type { z } from "@hono/zod-openapi";
import type { End } from "./ends.ts";
import type { SandboxRow } from "./store.ts";

export type SandboxListItem = z.infer<typeof sandboxSchema>;

/** @param end when it has ended and its row may not say so yet */
export function toListItem(row: SandboxRow, end: End | undefined): SandboxListItem {
  const stoppedAt = row.stopped_at ?? end?.stoppedAt;
  const runs = end === undefined && (row.phase === "creating" || row.phase === "running");
  return {
    id: row.id,
    createdAt: new Date(row.created_at).toISOString(),
    stoppedAt: stoppedAt === undefined ? null : new Date(stoppedAt).toISOString(),
    reason: row.reason ?? end?.reason ?? null,
    region: row.region,
    status: runs ? "running" : "stopped",
    labels: JSON.parse(row.labels) as Record<string, string>,
  };
}
