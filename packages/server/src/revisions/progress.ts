/** How far a build is, as one object (wire contract 1.9). Pure functions; times are milliseconds since the epoch. */
import type { FailureReason, ProgressStage, RevisionProgress, RevisionStatus, TimelineProgress } from "@caisson/api";

export type StageName = "queued" | "preparing" | "installing" | "building" | "deploying";
export type StageStatus = ProgressStage["status"];
/** A part of the deployment to one timeline; `timeline` is the deployment itself. */
export type TimelinePart = "timeline" | "database" | "predeploy" | "warmup" | "routing";

/** What a timeline is, as clients see it. */
export interface TimelineName {
  /** `production`, `preview` or `git-branch`. */
  readonly slug: string;
  readonly partition: Readonly<Record<string, string>>;
}

export function newProgress(now: number): RevisionProgress {
  const pending: ProgressStage = { status: "pending" };
  return {
    queued: { status: "running", start: iso(now) },
    preparing: pending,
    installing: { ...pending, command: null },
    building: { ...pending, command: null },
    deploying: { ...pending, timelines: [] },
  };
}

/** @param command of `installing` and `building`; absent: as it was */
export function withStage(
  progress: RevisionProgress,
  name: StageName,
  status: StageStatus,
  now: number,
  command?: string | null,
): RevisionProgress {
  const changed = change(progress[name], status, now);
  if (name === "deploying") return { ...progress, deploying: { ...changed, timelines: progress.deploying.timelines } };
  if (name !== "installing" && name !== "building") return { ...progress, [name]: changed };
  return { ...progress, [name]: { ...changed, command: command === undefined ? progress[name].command : command } };
}

/** Adds the timeline when it is not there. @param command of `predeploy`; absent: as it was */
export function withTimelinePart(
  progress: RevisionProgress,
  { slug, partition }: TimelineName,
  part: TimelinePart,
  status: StageStatus,
  now: number,
  command?: string | null,
): RevisionProgress {
  const isIt = (other: TimelineProgress) =>
    other.slug === slug && JSON.stringify(other.partition) === JSON.stringify(partition);
  const { timelines } = progress.deploying;
  const pending: ProgressStage = { status: "pending" };
  const former: TimelineProgress = timelines.find(isIt) ?? {
    ...pending,
    slug,
    partition: { ...partition },
    database: { status: "skipped" },
    predeploy: { ...pending, command: null },
    routing: pending,
  };
  const { slug: _slug, partition: _partition, database, predeploy, warmup, routing, ...stage } = former;
  const parts = { database, predeploy, ...(warmup === undefined ? {} : { warmup }), routing };
  const next: TimelineProgress = {
    ...(part === "timeline" ? change(stage, status, now) : stage),
    slug,
    partition: { ...partition },
    ...parts,
    ...(part === "database" ? { database: change(database, status, now) } : {}),
    ...(part === "warmup" ? { warmup: change(warmup ?? pending, status, now) } : {}),
    ...(part === "routing" ? { routing: change(routing, status, now) } : {}),
    ...(part === "predeploy"
      ? {
          predeploy: {
            ...change(predeploy, status, now),
            command: command === undefined ? predeploy.command : command,
          },
        }
      : {}),
  };
  const all = timelines.some(isIt) ? timelines.map((other) => (isIt(other) ? next : other)) : [...timelines, next];
  return { ...progress, deploying: { ...progress.deploying, timelines: all } };
}

const endings: Readonly<Record<FailureReason, StageStatus>> = {
  error: "errored",
  cancelled: "cancelled",
  timed_out: "timed_out",
  skipped: "skipped",
};

/** What runs ends the way the revision ended; what has not begun is skipped. */
export function ended(
  progress: RevisionProgress,
  outcome: Extract<RevisionStatus, "succeeded" | "failed" | "skipped">,
  reason: FailureReason | null,
  now: number,
): RevisionProgress {
  const running: StageStatus = outcome === "failed" ? endings[reason ?? "error"] : outcome;
  const end = <T extends { readonly status: string }>(stage: T): T => {
    if (stage.status === "running" || stage.status === "timeline_blocked")
      return { ...stage, ...change(stage, running, now) };
    return stage.status === "pending" ? { ...stage, status: "skipped" } : stage;
  };
  const { queued, preparing, installing, building, deploying } = progress;
  return {
    queued: end(queued),
    preparing: end(preparing),
    installing: end(installing),
    building: end(building),
    deploying: {
      ...end(deploying),
      timelines: deploying.timelines.map((timeline) => ({
        ...end(timeline),
        database: end(timeline.database),
        predeploy: end(timeline.predeploy),
        ...(timeline.warmup === undefined ? {} : { warmup: end(timeline.warmup) }),
        routing: end(timeline.routing),
      })),
    },
  };
}

/** A stage that ends without having begun begins now. */
function change(former: { readonly status: string }, status: StageStatus, now: number): ProgressStage {
  if (status === "pending" || status === "skipped") return { status };
  const { start = iso(now) } = former as { readonly start?: string };
  return status === "running" ? { status, start } : { status, start, end: iso(now) };
}

function iso(at: number): string {
  return new Date(at).toISOString();
}
