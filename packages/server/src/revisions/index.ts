/** @module Revisions of apps: their builds' status, progress and logs, timelines, and what deployed code prints. */
import type { EnvContext, RevisionProgress } from "@caisson/api";
import { appsService } from "../apps/index.ts";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { BuildLogs, type BuildLine } from "./logs/build-logs.ts";
import { RuntimeLogs, type RuntimeLine } from "./logs/runtime-logs.ts";
import { up } from "./migrations.ts";
import {
  withStage,
  withTimelinePart,
  type StageName,
  type StageStatus,
  type TimelineName,
  type TimelinePart,
} from "./progress.ts";
import { RevisionStore, type Content, type Move, type NewRevision } from "./store.ts";
import type { RevisionDatabase, RevisionRow } from "./tables.ts";
import { Timelines } from "./timelines.ts";
import { Watch } from "./watch.ts";

export type { BuildLine } from "./logs/build-logs.ts";
export type { RuntimeLine } from "./logs/runtime-logs.ts";
export type { StageName, StageStatus, TimelineName, TimelinePart } from "./progress.ts";
export type { Move, NewRevision, Variable } from "./store.ts";
export type { RevisionRow, RevisionTables, TimelineRow } from "./tables.ts";
export type { Timelines } from "./timelines.ts";

/** What the slices that build and serve use of revisions. */
export interface RevisionsService {
  /** A queued one. @throws CaissonError `resource_exhausted` */
  create(request: NewRevision): Promise<RevisionRow>;
  /** Of any organisation, also a deleted one. */
  get(id: string): Promise<RevisionRow | undefined>;
  /** Queued and building ones, oldest first: the queue of builds, also after a crash. */
  unfinished(): Promise<RevisionRow[]>;
  /** See `RevisionStore.move`. */
  move(id: string, move: Move): Promise<boolean>;
  /** @param command of `installing` and `building` */
  setStage(id: string, stage: StageName, status: StageStatus, command?: string | null): Promise<boolean>;
  /** @param command of `predeploy` */
  setTimelinePart(
    id: string,
    timeline: TimelineName,
    part: TimelinePart,
    status: StageStatus,
    command?: string | null,
  ): Promise<boolean>;
  /** For what the two above do not offer, such as `timeline_blocked`. */
  setProgress(id: string, update: (progress: RevisionProgress) => RevisionProgress): Promise<boolean>;
  /** Notes what it was made from. */
  setContent(id: string, content: Content): Promise<boolean>;
  /** Notes that it is used now, so that it is not removed. To be called from time to time, not for every request. */
  touch(id: string): Promise<void>;
  /** Everything that its code gets in a context: layers, app, its own variables. Without what the platform adds (`DENO_*`). */
  environment(revision: RevisionRow, context: EnvContext): Promise<Record<string, string>>;
  /** Appends to the build log. Never throws. */
  buildLog(id: string, lines: readonly BuildLine[]): Promise<void>;
  /** Appends to the runtime logs. Never throws. */
  runtimeLogs(lines: readonly RuntimeLine[]): void;
  readonly timelines: Timelines;
  /** A client asked to cancel this build. Its end is a `move` to `failed` with the reason `cancelled`. Must not throw. */
  onCancel(listener: (id: string) => void): void;
  /** A revision was deleted: gives back what it holds. Called again until it succeeds; must be idempotent. */
  onDelete(listener: (revision: RevisionRow) => Promise<void>): void;
}

export const revisionsService = serviceKey<RevisionsService>("revisions");

export const revisionsSlice: Slice = {
  name: "revisions",
  migrations: { "2026-12-04-revisions": { up } },
  setup({ db: anyDb, config, lockRows, sealer, log, services }) {
    const db = anyDb as RevisionDatabase;
    const { buildLogBytes, logLineBytes, logLinesPerMinute } = config.apps;
    const apps = services.use(appsService);
    const watch = new Watch();
    const store = new RevisionStore({ db, lockRows, sealer, watch });
    const buildLogs = new BuildLogs({ db, watch, limits: { bytes: buildLogBytes, lineBytes: logLineBytes }, log });
    const runtimeLogs = new RuntimeLogs({
      db,
      watch,
      limits: { lineBytes: logLineBytes, linesPerMinute: logLinesPerMinute },
      log,
    });
    const timelines = new Timelines(db, lockRows);
    const cancels: ((id: string) => void)[] = [];
    const deletes: ((revision: RevisionRow) => Promise<void>)[] = [];
    services.provide(revisionsService, {
      create: (request) => store.create(request),
      get: (id) => store.get(id),
      unfinished: () => store.unfinished(),
      move: async (id, move) => {
        // The last lines are there before readers see the end.
        if (move.to !== "queued" && move.to !== "building") await buildLogs.close(id);
        return store.move(id, move);
      },
      setStage: (id, stage, status, command) =>
        store.setProgress(id, (progress) => withStage(progress, stage, status, Date.now(), command)),
      setTimelinePart: (id, timeline, part, status, command) =>
        store.setProgress(id, (progress) => withTimelinePart(progress, timeline, part, status, Date.now(), command)),
      setProgress: (id, update) => store.setProgress(id, update),
      setContent: (id, content) => store.setContent(id, content),
      touch: async (id) => void (await store.set(id, { used_at: Date.now(), disabled_at: null })),
      environment: async (revision, context) => {
        const layers = (JSON.parse(revision.layers) as { id: string }[]).map(({ id }) => id);
        const inherited = await apps.environment({ appId: revision.app_id, layers, context });
        return { ...inherited, ...Object.fromEntries(store.variables(revision).map(({ key, value }) => [key, value])) };
      },
      buildLog: (id, lines) => buildLogs.append(id, lines),
      runtimeLogs: (lines) => runtimeLogs.append(lines),
      timelines,
      onCancel: (listener) => void cancels.push(listener),
      onDelete: (listener) => void deletes.push(listener),
    });
    return {
      background: [{ name: "writing runtime logs", interval: 1_000, run: async () => runtimeLogs.summarise() }],
      stop: () => runtimeLogs.flush(),
    };
  },
};
