/** Revisions and timelines as clients see them. */
import type { AppConfig, LayerReference, Revision, RevisionListItem, Timeline } from "@caisson/api";
import type { AppRow } from "../apps/index.ts";
import type { TimelineName } from "./progress.ts";
import type { Variable } from "./store.ts";
import type { RevisionRow, TimelineRow } from "./tables.ts";
import { nameOf } from "./timelines.ts";

/** Hostnames at which a timeline of an app answers. */
export type Domains = (app: AppRow, timeline: TimelineName) => readonly string[] | Promise<readonly string[]>;

export function toListItem(row: RevisionRow): RevisionListItem {
  return {
    id: row.id,
    status: row.status,
    failure_reason: row.failure_reason,
    failure_message: row.failure_message,
    labels: JSON.parse(row.labels) as Record<string, string>,
    retention: row.retention,
    created_at: iso(row.created_at),
    cancellation_requested_at: isoOrNull(row.cancellation_requested_at),
    build_finished_at: isoOrNull(row.build_finished_at),
    deleted_at: isoOrNull(row.deleted_at),
  };
}

/** @param env its own variables */
export function toRevision(row: RevisionRow, env: readonly Variable[]): Revision {
  return {
    ...toListItem(row),
    layers: JSON.parse(row.layers) as LayerReference[],
    env_vars: env.map(({ key, value }) => ({ key, value })),
    config: JSON.parse(row.config) as AppConfig,
  };
}

export async function toTimeline(row: TimelineRow, app: AppRow, domains: Domains): Promise<Timeline> {
  const name = nameOf(row);
  return {
    slug: row.slug,
    partition: { ...name.partition },
    app: { id: app.id, slug: app.slug },
    context: { slug: row.context },
    domains: (await domains(app, name)).map((domain) => ({ domain })),
  };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}

function isoOrNull(at: number | null): string | null {
  return at === null ? null : iso(at);
}
