/** @module Revisions of apps: their builds' status, progress and logs, timelines, and what deployed code prints. */
import { appsService, type AppsService } from "../apps/index.ts";
import type { Slice } from "../kernel/slice.ts";
import type { RevisionContext } from "./context.ts";
import { createRevision } from "./create.ts";
import { BuildLogs } from "./logs/build-logs.ts";
import { RuntimeLogReader } from "./logs/read-runtime-logs.ts";
import { removeOldRuntimeLogs } from "./logs/runtime-log-retention.ts";
import { RuntimeLogs } from "./logs/runtime-logs.ts";
import { traffic as trafficTable, up } from "./migrations.ts";
import { withStage, withTimelinePart } from "./progress.ts";
import { Removal } from "./removal.ts";
import { appLogRoutes } from "./routes/app-logs.ts";
import { revisionRoutes } from "./routes/revisions.ts";
import { streamRoutes } from "./routes/streams.ts";
import { timelineRoutes } from "./routes/timelines.ts";
import { trafficRoutes } from "./routes/traffic.ts";
import { revisionsService, type RevisionsService } from "./service.ts";
import { toRevision, type Domains } from "./show.ts";
import { isLive, RevisionStore } from "./store.ts";
import { Streams } from "./streams/streams.ts";
import type { RevisionDatabase, RevisionRow } from "./tables.ts";
import { Timelines } from "./timelines.ts";
import { Traffic } from "./traffic.ts";
import { Watch } from "./watch.ts";

export { revisionsService, type RevisionsService } from "./service.ts";
export type { BuildLine } from "./logs/build-logs.ts";
export type { RuntimeLine } from "./logs/runtime-logs.ts";
export type { StageName, StageStatus, TimelineName, TimelinePart } from "./progress.ts";
export type { Move, NewRevision, Variable } from "./store.ts";
export type { RevisionRow, RevisionTables, TimelineRow } from "./tables.ts";
export type { Timelines } from "./timelines.ts";

/** Milliseconds. */
const logInterval = 1_000;
const careInterval = 60_000;
const day = 24 * 3600_000;

/** What other slices registered. */
class Listeners {
  readonly cancels: ((id: string) => void)[] = [];
  readonly deletes: ((revision: RevisionRow) => Promise<void>)[] = [];
  readonly activates: Parameters<RevisionsService["onActivate"]>[0][] = [];
  readonly routes: (() => void)[] = [];
  domains: Domains = () => [];

  cancelled(id: string): void {
    for (const listener of this.cancels) listener(id);
  }
  async release(revision: RevisionRow): Promise<void> {
    for (const listener of this.deletes.toReversed()) await listener(revision);
  }
}

export const revisionsSlice: Slice = {
  name: "revisions",
  migrations: { "2026-12-04-revisions": { up }, "2026-12-06-traffic": { up: trafficTable } },
  setup({ db: anyDb, config, lockRows, sealer, log, services, publicUrl }) {
    const db = anyDb as RevisionDatabase;
    const limits = config.apps;
    const apps = services.use(appsService);
    const listeners = new Listeners();
    const watch = new Watch();
    const store = new RevisionStore({ db, lockRows, sealer, watch });
    const logLimits = { bytes: limits.buildLogBytes, lineBytes: limits.logLineBytes };
    const runtimeLimits = { lineBytes: limits.logLineBytes, linesPerMinute: limits.logLinesPerMinute };
    const removal = new Removal({ db, lockRows, log, release: (revision) => listeners.release(revision) });
    const stopped = new AbortController();
    const ctx: RevisionContext = {
      apps,
      store,
      timelines: new Timelines(db, lockRows),
      traffic: new Traffic(db, lockRows),
      watch,
      buildLogs: new BuildLogs({ db, watch, limits: logLimits, log }),
      runtimeLogs: new RuntimeLogs({ db, watch, limits: runtimeLimits, log }),
      reader: new RuntimeLogReader(db, lockRows ? "PostgreSQL" : "SQLite"),
      removal,
      streams: new Streams(limits.logStreams),
      limits,
      others: lockRows,
      publicUrl,
      domains: (app, timeline) => listeners.domains(app, timeline),
      cancelled: (id) => listeners.cancelled(id),
      routed: () => {
        for (const listener of listeners.routes) listener();
      },
      ready: async (revision, timeline) => {
        for (const listener of listeners.activates) await listener(revision, timeline);
      },
    };
    services.provide(revisionsService, serviceOf(ctx, db, listeners));
    apps.onDelete(async ({ id }) => {
      for (const revision of await store.liveOf(id)) listeners.cancelled(revision.id);
      await removal.deleteAllOf(id, stopped.signal);
    });
    const policy = { disableAfter: limits.disableAfterDays * day, deleteAfter: limits.deleteAfterDays * day };
    const logRetention = { keep: limits.logRetentionDays * day, bytes: limits.logBytes };
    return {
      routes: (app) => {
        revisionRoutes(ctx)(app);
        streamRoutes(ctx)(app);
        timelineRoutes(ctx)(app);
        trafficRoutes(ctx)(app);
        appLogRoutes(ctx)(app);
      },
      background: [
        { name: "writing runtime logs", interval: logInterval, run: async () => ctx.runtimeLogs.summarise() },
        { name: "removing unused revisions", interval: careInterval, run: (signal) => removal.care(policy, signal) },
        {
          name: "removing old runtime logs",
          interval: careInterval,
          run: (signal) => removeOldRuntimeLogs(db, logRetention, signal),
        },
      ],
      stop: async () => {
        stopped.abort();
        ctx.streams.close();
        await ctx.runtimeLogs.close();
      },
    };
  },
};

function serviceOf(ctx: RevisionContext, db: RevisionDatabase, listeners: Listeners): RevisionsService {
  const { apps, store, timelines, traffic, buildLogs, runtimeLogs } = ctx;
  return {
    create: (request) => createRevision(ctx, db, request),
    get: (id) => store.get(id),
    show: (revision) => toRevision(revision, store.variables(revision)),
    unfinished: () => store.unfinished(),
    move: async (id, move) => {
      // The last lines are there before readers see the end.
      if (!isLive({ status: move.to })) await buildLogs.close(id);
      return store.move(id, move);
    },
    setStage: (id, stage, status, command) =>
      store.setProgress(id, (progress) => withStage(progress, stage, status, Date.now(), command)),
    setTimelinePart: (id, timeline, part, status, command) =>
      store.setProgress(id, (progress) => withTimelinePart(progress, timeline, part, status, Date.now(), command)),
    setProgress: (id, update) => store.setProgress(id, update),
    setContent: (id, content) => store.setContent(id, content),
    touch: async (id) => void (await store.set(id, { used_at: Date.now(), disabled_at: null })),
    environment: (revision, context) => environmentOf(apps, store, revision, context),
    hasSecretVariables: async (revision, context) => {
      // Its own ones are shown to whoever may see it.
      const own = new Set(store.variables(revision).map(({ key }) => key));
      const inherited = await apps.secretVariables({ appId: revision.app_id, layers: layersOf(revision), context });
      return inherited.some((name) => !own.has(name));
    },
    buildLog: (id, lines) => buildLogs.append(id, lines),
    runtimeLogs: (lines) => runtimeLogs.append(lines),
    timelines,
    traffic,
    onRoute: (listener) => void listeners.routes.push(listener),
    onCancel: (listener) => void listeners.cancels.push(listener),
    onDelete: (listener) => void listeners.deletes.push(listener),
    onActivate: (listener) => void listeners.activates.push(listener),
    useDomains: (domains) => void (listeners.domains = domains),
  };
}

async function environmentOf(
  apps: AppsService,
  store: RevisionStore,
  revision: RevisionRow,
  context: Parameters<RevisionsService["environment"]>[1],
): Promise<Record<string, string>> {
  const inherited = await apps.environment({ appId: revision.app_id, layers: layersOf(revision), context });
  return { ...inherited, ...Object.fromEntries(store.variables(revision).map(({ key, value }) => [key, value])) };
}

function layersOf({ layers }: RevisionRow): string[] {
  return (JSON.parse(layers) as { id: string }[]).map(({ id }) => id);
}
