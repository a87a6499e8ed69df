/**
 * Deployments in progress: from the files of a revision to the timelines that serve it. The queue is the revisions that are queued or
 * building; each step can be repeated after a crash once the files are stored.
 */
import { createHash } from "node:crypto";
import { CaissonError, toCaissonError, type Config, type SandboxNode } from "@caisson/protocol";
import type { AppConfig, EnvContext } from "@caisson/api";
import type { Logger } from "pino";
import type { AppsService } from "../apps/index.ts";
import type { BuildLine, RevisionRow, RevisionsService, TimelineName } from "../revisions/index.ts";
import { contextOf, keyOf, timelinesFor, type Activation } from "../revisions/timelines.ts";
import type { RevisionContent, RevisionContents, Serving, Target } from "../serving/index.ts";
import { platformVariables, withoutColours } from "../serving/program.ts";
import { buildInMachine, runPredeploy, type BuildMachines, type Surroundings } from "./build/machine.ts";
import { prefetchOf } from "./build/prefetch.ts";
import { planOf } from "./build/presets.ts";
import type { Job, Prepare } from "./job.ts";
import { Slots } from "./slots.ts";

export interface DeploymentsOptions {
  readonly config: Pick<Config, "serving">;
  readonly node: SandboxNode;
  readonly apps: AppsService;
  readonly revisions: RevisionsService;
  readonly contents: RevisionContents;
  readonly serving: Serving;
  readonly build: BuildMachines;
  readonly orgSlug: (orgId: string) => Promise<string>;
  readonly log: Logger;
}

const cancelled = "The deployment was cancelled.";

class Cancelled extends Error {}
class Stopped extends Error {}

export class Deployments {
  readonly #options: DeploymentsOptions;
  readonly #running = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>();
  readonly #slots: Slots;

  constructor(options: DeploymentsOptions) {
    this.#options = options;
    this.#slots = new Slots(options.config.serving.builds);
  }

  get running(): number {
    return this.#running.size;
  }

  /** Of the revisions in progress. */
  get ids(): readonly string[] {
    return [...this.#running.keys()];
  }

  /**
   * Goes on in the background, and with the same files after a restart.
   * @param content without files when `prepare` provides them: then it only says which node deploys the revision
   */
  async begin(revision: RevisionRow, content: RevisionContent, prepare?: Prepare): Promise<void> {
    await this.#options.contents.store(revision.id, content);
    this.#begin(revision, prepare);
  }

  #begin(revision: RevisionRow, prepare?: Prepare): void {
    const stop = new AbortController();
    const done = this.#run(revision, prepare, stop.signal).finally(() => this.#running.delete(revision.id));
    this.#running.set(revision.id, { stop, done });
  }

  /** A client asked for it. Also when it is not in progress here. */
  cancel(id: string): void {
    const running = this.#running.get(id);
    if (running !== undefined) running.stop.abort(new Cancelled(cancelled));
    else void this.#end(id, { reason: "cancelled", message: cancelled });
  }

  /** After a start: goes on with what a former process of this node began. */
  async resume(): Promise<void> {
    const { revisions, contents, node } = this.#options;
    for (const revision of await revisions.unfinished()) {
      const { id, cancellation_requested_at: wanted } = revision;
      const found = await contents.find(id);
      if (this.#running.has(id) || (found !== undefined && found.nodeId !== node.id)) continue;
      if (wanted !== null) await this.#end(id, { reason: "cancelled", message: cancelled });
      else if (found?.files === true) this.#begin(revision);
      else
        await this.#end(id, {
          reason: "error",
          message: "The server restarted before it had all files. Deploy again.",
        });
    }
  }

  async close(): Promise<void> {
    const all = [...this.#running.values()];
    for (const { stop } of all) stop.abort(new Stopped("The server stops."));
    await Promise.allSettled(all.map(({ done }) => done));
  }

  async #run(revision: RevisionRow, prepare: Prepare | undefined, signal: AbortSignal): Promise<void> {
    const { revisions, serving, config, log } = this.#options;
    const { id } = revision;
    const say = (line: BuildLine) => revisions.buildLog(id, [line]);
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    try {
      const leave = await this.#slots.take(revision.org_id, signal);
      const seconds = config.serving.buildTimeout;
      timer = setTimeout(
        () => late.abort(new CaissonError("timeout", `The build took longer than ${seconds} s, the limit.`)),
        seconds * 1000,
      );
      const job: Job = { revision, signal: AbortSignal.any([signal, late.signal]), say };
      try {
        const tree = await this.#options.contents.during(() => this.#prepare(job, prepare));
        clearTimeout(timer);
        await this.#deploy({ ...job, signal }, tree);
      } finally {
        leave();
      }
      await revisions.move(id, { from: ["queued", "building"], to: "succeeded" });
      log.info({ revision: id }, "a revision was deployed");
      await serving
        .settle()
        .catch((error: unknown) => log.warn({ err: error }, "what a revision replaced ends a little later"));
    } catch (thrown) {
      const error = signal.aborted
        ? (signal.reason as Error)
        : late.signal.aborted
          ? (late.signal.reason as Error)
          : thrown;
      if (error instanceof Stopped) return;
      const { message } = error instanceof Cancelled ? error : toCaissonError(error);
      await say({ level: "error", step: await this.#stepOf(id), message });
      const reason = error instanceof Cancelled ? "cancelled" : late.signal.aborted ? "timed_out" : "error";
      // A message may quote what a program printed, or a command with a password.
      const what = error instanceof CaissonError ? { code: error.code } : { err: error };
      log.info({ revision: id, reason, ...what }, "a deployment failed");
      await this.#end(id, { reason, message });
      this.#options.contents.wishPrune(error instanceof CaissonError && error.code === "resource_exhausted");
    } finally {
      clearTimeout(timer);
    }
  }

  /** The stage that runs, for the log. */
  async #stepOf(id: string): Promise<BuildLine["step"]> {
    const row = await this.#options.revisions.get(id).catch(() => undefined);
    const progress = JSON.parse(row?.progress ?? "{}") as Record<string, { status?: string }>;
    const steps = ["deploying", "building", "installing"] as const;
    return steps.find((step) => progress[step]?.status === "running") ?? "preparing";
  }

  /** Records a failure, and gives back what the revision holds. Never rejects. */
  async #end(id: string, end: { reason: "error" | "cancelled" | "timed_out"; message: string }): Promise<void> {
    const { revisions, serving, contents, log } = this.#options;
    try {
      await revisions.move(id, { from: ["queued", "building"], to: "failed", ...end });
      const row = await revisions.get(id);
      const deleted = row === undefined || row.deleted_at !== null;
      // It may have succeeded a moment before, and a timeline may serve it all the same.
      if (!deleted && (row.status === "succeeded" || (await revisions.timelines.of(id)).length > 0)) return;
      await serving.stop(id);
      await contents.remove(id);
    } catch (error) {
      log.error({ err: error, revision: id }, "the end of a deployment was not recorded; it is at the next start");
    }
  }

  /** @returns its files, which are stored then */
  async #prepare(job: Job, prepare: Prepare | undefined): Promise<RevisionContent["tree"]> {
    const { revisions, contents } = this.#options;
    const { id } = job.revision;
    const begun = await revisions.move(id, { from: ["queued"], to: "building" });
    // A former process may have begun it. Otherwise it was cancelled meanwhile.
    if (!begun && (await revisions.get(id))?.status !== "building") throw new Cancelled(cancelled);
    await revisions.setStage(id, "preparing", "running");
    const given = prepare === undefined ? await contents.of(id) : await prepare(job);
    const content = await this.#build(job, given, prepare !== undefined);
    job.signal.throwIfAborted();
    const { tree } = content;
    const files = tree.filter(({ kind }) => kind === "file").length;
    const bytes = tree.reduce((sum, entry) => sum + (entry.kind === "file" ? entry.bytes : 0), 0);
    // In this order: see `#build`.
    await revisions.setContent(id, { files, bytes, manifest: manifestOf(tree) });
    await contents.store(id, content);
    // What it was built from, and what builds kept before.
    if (content !== given) contents.wishPrune();
    await job.say({ level: "info", step: "preparing", message: `${files} files, ${bytes} bytes.` });
    // Stages that ran have ended already.
    const progress = JSON.parse((await revisions.get(id))?.progress ?? "{}") as Record<string, { status?: string }>;
    if (progress["preparing"]?.status === "running") await revisions.setStage(id, "preparing", "succeeded");
    for (const stage of ["installing", "building"] as const)
      if (progress[stage]?.status === "pending") await revisions.setStage(id, stage, "skipped");
    return tree;
  }

  /**
   * Installs and builds in a machine, when the revision wants it and it was not done before a restart.
   * @param built in a sandbox already, as far as it was wanted
   */
  async #build(job: Job, content: RevisionContent, built: boolean): Promise<RevisionContent> {
    const { revisions, build } = this.#options;
    const { id } = job.revision;
    const row = (await revisions.get(id)) ?? job.revision;
    const config = JSON.parse(row.config) as AppConfig;
    const names = new Set(content.tree.map(({ path }) => path));
    const commands = built ? { install: undefined, build: undefined } : planOf(config, names);
    const plan = { ...commands, prefetch: prefetchOf(config, content.tree) };
    // A former process may have ended between the two: then these are still the files that are to be built.
    const done = row.manifest === manifestOf(content.tree);
    if (done || Object.values(plan).every((command) => command === undefined)) return content;
    const { env } = await this.#surroundings(row, "build");
    // A policy of a sandbox holds for what was made in it.
    const egress = { policy: content.egress.policy, secrets: [] };
    const tree = await buildInMachine(plan, content.tree, { env: { ...env, CI: "true" }, egress }, job, build);
    return { ...content, tree };
  }

  /** @param timeline absent: a build */
  async #surroundings(row: RevisionRow, context: EnvContext, timeline?: string): Promise<Pick<Surroundings, "env">> {
    const target = await this.#target(row, { key: timeline ?? "", context });
    const identity = { org: { id: row.org_id, slug: target.orgSlug }, app: target.app, revisionId: row.id };
    const platform = platformVariables({ ...identity, ...(timeline !== undefined && { timeline }) });
    return { env: { ...withoutColours, ...(await this.#options.revisions.environment(row, context)), ...platform } };
  }

  /** The command of the app that runs before a revision serves a timeline, such as a migration of its database. */
  async #predeploy(job: Job, row: RevisionRow, name: TimelineName): Promise<void> {
    const { revisions, contents, build, config } = this.#options;
    const { predeploy } = JSON.parse(row.config) as AppConfig;
    if (predeploy == null || predeploy.trim() === "") {
      await revisions.setTimelinePart(row.id, name, "predeploy", "skipped");
      return;
    }
    const timeline = keyOf(name);
    await revisions.setTimelinePart(row.id, name, "predeploy", "running", predeploy);
    await job.say({ level: "info", step: "deploying", message: `$ ${predeploy}`, timeline });
    const { egress } = await contents.of(row.id);
    const { env } = await this.#surroundings(row, contextOf(name), timeline);
    const seconds = config.serving.buildTimeout;
    const late = AbortSignal.timeout(seconds * 1000);
    const limited = { ...job, signal: AbortSignal.any([job.signal, late]) };
    await runPredeploy(predeploy, timeline, { env, egress }, limited, build).catch((error: unknown) => {
      if (!late.aborted || job.signal.aborted) throw error;
      throw new CaissonError("timeout", `The command before the deployment took longer than ${seconds} s, the limit.`);
    });
    await revisions.setTimelinePart(row.id, name, "predeploy", "succeeded");
  }

  async #deploy(job: Job, tree: RevisionContent["tree"]): Promise<void> {
    const { revisions, node } = this.#options;
    const { revision, signal, say } = job;
    const { id } = revision;
    await revisions.setStage(id, "deploying", "running");
    const bytes = await node.files.pack(id, tree, { signal });
    await say({ level: "info", step: "deploying", message: `The image has ${bytes} bytes.` });
    const row = (await revisions.get(id)) ?? revision;
    const names = timelinesFor(row);
    const log = (name: TimelineName, message: string) =>
      say({ level: "info", step: "deploying", message, timeline: keyOf(name) });
    // In all timelines before it serves in any: a revision that fails, or is cancelled, serves nowhere.
    for (const name of names) {
      await revisions.setTimelinePart(id, name, "timeline", "running");
      await this.#predeploy(job, row, name);
      await revisions.setTimelinePart(id, name, "warmup", "running");
      await this.#healthy(row, { key: keyOf(name), context: contextOf(name) }, signal);
      await log(name, "The app listens.");
      await revisions.setTimelinePart(id, name, "warmup", "succeeded");
    }
    signal.throwIfAborted();
    for (const name of names) {
      await revisions.setTimelinePart(id, name, "routing", "running");
      const { blocked }: Activation = await revisions.timelines.activate(row, name);
      await log(
        name,
        blocked ? "The timeline is pinned to another revision, which it goes on serving." : "The app is served.",
      );
      await revisions.setTimelinePart(id, name, "routing", "succeeded");
      await revisions.setTimelinePart(id, name, "timeline", "succeeded");
    }
    await revisions.setStage(id, "deploying", "succeeded");
  }

  /** Starts a first instance for a timeline. @throws CaissonError why it does not listen */
  async #healthy(
    revision: RevisionRow,
    timeline: { readonly key: string; readonly context: string },
    signal: AbortSignal,
  ): Promise<void> {
    const target = await this.#target(revision, timeline);
    signal.throwIfAborted();
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    await Promise.race([this.#options.serving.warmUp(target), promise]).finally(() =>
      signal.removeEventListener("abort", abort),
    );
  }

  /** @throws CaissonError `gone` when the app was deleted */
  async #target(revision: RevisionRow, timeline: { readonly key: string; readonly context: string }): Promise<Target> {
    const app = await this.#options.apps.get(revision.app_id);
    if (app === undefined) throw new CaissonError("gone", "The app was deleted.");
    const orgSlug = await this.#options.orgSlug(revision.org_id);
    return { app, orgSlug, revision, timeline: timeline.key, context: timeline.context };
  }
}

/** SHA-256 of what a revision is made of, hexadecimal. */
function manifestOf(tree: RevisionContent["tree"]): string {
  return createHash("sha256").update(JSON.stringify(tree)).digest("hex");
}
