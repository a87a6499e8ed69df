/**
 * Runs the cron jobs of production: each once per time of its schedule, in an instance that is started when there is none. A time that
 * comes while the job still runs, or is tried again, is left out. What is due is in the database, so a restart loses nothing.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { CaissonError, toCaissonError } from "@caisson/protocol";
import type { Logger } from "pino";
import type { Instance, InstanceLog } from "../instance.ts";
import { withoutOutput } from "../output.ts";
import type { CronJobRow } from "../tables.ts";
import { listJobs, runJob } from "./guest.ts";
import { nextTime } from "./schedule.ts";
import type { CronStore, CurrentJob } from "./store.ts";

/** Milliseconds before each attempt to find jobs: a program may register them a little after it listens. */
const looks = [0, 1_000, 5_000, 20_000];
/** Runs at a time, those of one organisation, which must not keep the others waiting, and those of one app. */
const mostRuns = 64;
const mostOfOrg = 16;
const mostOfApp = 8;
/** Revisions that are remembered. */
const mostAsked = 10_000;
/** Times of a schedule that are counted as left out. */
const mostCounted = 1000;

export interface CronsOptions {
  readonly store: CronStore;
  /** Does it in an instance of the app's production. @throws CaissonError */
  readonly inInstance: (
    job: CurrentJob,
    work: (instance: Instance) => Promise<void>,
    signal: AbortSignal,
  ) => Promise<void>;
  /** Milliseconds that a run may take. */
  readonly timeout: number;
  readonly print: (job: CurrentJob, level: "info" | "error", message: string) => void;
  readonly log: Logger;
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number;
  /** In tests. */
  readonly socket?: string;
}

export class Crons {
  readonly #options: CronsOptions;
  /** By app and name. */
  readonly #running = new Map<string, { readonly job: CurrentJob; readonly done: Promise<void> }>();
  /** Revisions whose instances were asked. */
  readonly #asked = new Set<string>();
  readonly #closing = new AbortController();

  constructor(options: CronsOptions) {
    this.#options = options;
  }

  /**
   * An instance of production listens: its program has registered its jobs, or does so within moments. Never rejects.
   * @param allowed false: its jobs do not run, and the log of the revision says so
   */
  async discover(
    revisionId: string,
    instance: Pick<Instance, "connectUnix" | "ended">,
    print: InstanceLog,
    allowed = true,
  ): Promise<void> {
    const { store, log, socket } = this.#options;
    if (this.#asked.has(revisionId)) return;
    if (this.#asked.size > mostAsked) this.#asked.clear();
    this.#asked.add(revisionId);
    const gone = new AbortController();
    void instance.ended.then(() => gone.abort());
    const signal = AbortSignal.any([this.#closing.signal, gone.signal]);
    try {
      if (await store.has(revisionId)) return;
      for (const pause of looks) {
        await sleep(pause, undefined, { signal, ref: false });
        const jobs = await listJobs(instance, socket).catch(() => []);
        if (jobs.length === 0) continue;
        if (!allowed) {
          const names = jobs.map(({ name }) => name).join(", ");
          print("error", `Cron jobs that do not run, because the app has \`crons: false\`: ${names}.`);
          return;
        }
        const never = new Set(jobs.filter(({ schedule }) => nextTime(schedule, this.#now()) === undefined));
        for (const { name, schedule } of never)
          print(
            "error",
            `The cron job "${name}" never runs: ${JSON.stringify(schedule)} is not a schedule in UTC with five fields.`,
          );
        // That a schedule has no time is known only after a long search, which is not repeated at each tick.
        await store.register(
          revisionId,
          jobs.filter((job) => !never.has(job)),
        );
        print("info", `Cron jobs: ${jobs.map(({ name }) => name).join(", ")}.`);
        return;
      }
    } catch (error) {
      this.#asked.delete(revisionId);
      if (!signal.aborted) log.warn({ err: error, revision: revisionId }, "cron jobs of a revision were not found");
    }
  }

  /** Starts what is due. To be called every second or so. */
  async tick(): Promise<void> {
    const { store } = this.#options;
    const now = this.#now();
    // Before the rows are read: what ends meanwhile is not taken for interrupted.
    const running = new Set(this.#running.keys());
    const current = new Map((await store.current()).map((job) => [`${job.appId} ${job.name}`, job]));
    const known = new Map((await store.jobs()).map((row) => [`${row.app_id} ${row.name}`, row]));
    for (const [key, row] of known) if (!current.has(key) && !running.has(key)) await store.remove(row);
    for (const [key, job] of current) {
      if (this.#closing.signal.aborted) return;
      const row = known.get(key);
      if (row === undefined) await this.#plan(job, now);
      else if (running.has(key)) continue;
      else if (row.started_at !== null)
        await this.#ended(job, row, new CaissonError("unavailable", "The server restarted while it ran."));
      else if (row.schedule !== job.schedule) await this.#plan(job, now);
      else if (row.next_at <= now && this.#free(job)) await this.#start(key, job, row, now);
    }
  }

  async #plan(job: CurrentJob, now: number): Promise<void> {
    const next = nextTime(job.schedule, now);
    if (next === undefined) return;
    await this.#options.store.create(job, next);
  }

  #free({ orgId, appId }: CurrentJob): boolean {
    const ofOrg = [...this.#running.values()].filter(({ job }) => job.orgId === orgId);
    const ofApp = ofOrg.filter(({ job }) => job.appId === appId);
    return this.#running.size < mostRuns && ofOrg.length < mostOfOrg && ofApp.length < mostOfApp;
  }

  async #start(key: string, job: CurrentJob, row: CronJobRow, now: number): Promise<void> {
    const tickAt = row.attempt === 0 ? row.next_at : row.tick_at;
    if (!(await this.#options.store.claim(row, tickAt, now))) return;
    const done = this.#run(job, { ...row, tick_at: tickAt }).finally(() => this.#running.delete(key));
    this.#running.set(key, { job, done });
  }

  /** Never rejects. */
  async #run(job: CurrentJob, row: CronJobRow): Promise<void> {
    const { inInstance, timeout, print, log, socket } = this.#options;
    const late = new AbortController();
    const timer = setTimeout(
      () => late.abort(new CaissonError("timeout", `It took longer than ${timeout / 1000} s, the limit.`)),
      timeout,
    );
    const signal = AbortSignal.any([this.#closing.signal, late.signal]);
    const began = performance.now();
    let failure: CaissonError | undefined;
    try {
      print(job, "info", `The cron job "${job.name}" starts.`);
      await inInstance(job, (instance) => runJob(instance, job.name, signal, socket), signal);
      print(
        job,
        "info",
        `The cron job "${job.name}" ended after ${((performance.now() - began) / 1000).toFixed(1)} s.`,
      );
    } catch (error) {
      // It is a run that a restart interrupted.
      if (this.#closing.signal.aborted) return;
      failure = toCaissonError(late.signal.aborted ? late.signal.reason : error);
    } finally {
      clearTimeout(timer);
    }
    await this.#ended(job, row, failure).catch((error: unknown) =>
      log.error({ err: error, app: job.appId }, "the end of a cron job was not recorded; it counts as interrupted"),
    );
  }

  /** Plans the next attempt or the next time. */
  async #ended(job: CurrentJob, row: CronJobRow, failure: CaissonError | undefined): Promise<void> {
    const { store, print } = this.#options;
    const now = this.#now();
    const ended = {
      started_at: null,
      last_ended_at: now,
      // PostgreSQL stores no NUL characters.
      last_error: failure === undefined ? null : withoutOutput(failure.message).replaceAll("\0", "").slice(0, 1000),
    };
    const pause = failure === undefined ? undefined : job.backoff[row.attempt];
    const what = `The cron job "${job.name}"`;
    if (failure !== undefined && pause !== undefined) {
      print(job, "error", `${what} failed: ${sentence(failure)} It is tried again in ${pause / 1000} s.`);
      await store.update(row, { ...ended, next_at: now + pause, attempt: row.attempt + 1 });
      return;
    }
    if (failure !== undefined)
      print(job, "error", `${what} failed: ${sentence(failure)} It is tried again at its next time.`);
    let left = 0;
    let at = nextTime(job.schedule, row.tick_at);
    for (; at !== undefined && at <= now && left < mostCounted; left++) at = nextTime(job.schedule, at);
    if (left > 0)
      print(
        job,
        "info",
        `${what} left out ${left} ${left === 1 ? "time" : "times"}: it still ran or was tried again, or the server did not run.`,
      );
    const next = nextTime(job.schedule, Math.max(now, row.tick_at));
    if (next === undefined) await store.remove(row);
    else await store.update(row, { ...ended, next_at: next, attempt: 0 });
  }

  #now(): number {
    return (this.#options.now ?? Date.now)();
  }

  /** Runs under way are interrupted, and tried again by the next server. */
  async close(): Promise<void> {
    this.#closing.abort(new CaissonError("cancelled", "The server stops."));
    await Promise.allSettled([...this.#running.values()].map(({ done }) => done));
  }
}

/** What a program throws often ends without a full stop. */
function sentence({ message }: CaissonError): string {
  const text = withoutOutput(message);
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
