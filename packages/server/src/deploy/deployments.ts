/**
 * Deployments in progress: from the files of a revision to the timelines that serve it. The queue is the revisions that are queued or
 * building; each step can be repeated after a crash once the files are stored.
 */
import { createHash } from "node:crypto";
import { CaissonError, toCaissonError, type Config, type SandboxNode } from "@caisson/protocol";
import type { AppConfig, RevisionProgress } from "@caisson/api";
import type { Logger } from "pino";
import type { AppsService } from "../apps/index.ts";
import type { BuildLine, RevisionRow, RevisionsService } from "../revisions/index.ts";
import { contextOf, keyOf, timelinesFor, type Activation } from "../revisions/timelines.ts";
import type { RevisionContent, RevisionContents, Serving, Target } from "../serving/index.ts";
import { platformVariables } from "../serving/program.ts";
import { buildInMachine, type BuildMachines } from "./build/machine.ts";
import { planOf } from "./build/presets.ts";
import type { Job, Prepare } from "./job.ts";

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

class Cancelled extends Error {}
class Stopped extends Error {}

export class Deployments {
  readonly #options: DeploymentsOptions;
  readonly #running = new Map<string, { readonly stop: AbortController; readonly done: Promise<void> }>();
  readonly #queue: (() => void)[] = [];
  #slots: number;

  constructor(options: DeploymentsOptions) {
    this.#options = options;
    this.#slots = options.config.serving.builds;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Stores the files first, so that the deployment goes on after a restart. */
  async beginStored(revision: RevisionRow, content: RevisionContent): Promise<void> {
    await this.#options.contents.store(revision.id, content);
    this.begin(revision);
  }

  /** Goes on in the background. @param prepare absent: the files are stored */
  begin(revision: RevisionRow, prepare?: Prepare): void {
    const stop = new AbortController();
    const done = this.#run(revision, prepare, stop.signal).finally(() => this.#running.delete(revision.id));
    this.#running.set(revision.id, { stop, done });
  }

  /** A client asked for it. Also when it is not in progress here. */
  cancel(id: string): void {
    const running = this.#running.get(id);
    if (running !== undefined) running.stop.abort(new Cancelled("The deployment was cancelled."));
    else void this.#end(id, { reason: "cancelled", message: "The deployment was cancelled." });
  }

  /** After a start: goes on with what a former process began. */
  async resume(): Promise<void> {
    const { revisions, contents } = this.#options;
    for (const revision of await revisions.unfinished()) {
      if (this.#running.has(revision.id)) continue;
      if (await contents.has(revision.id)) this.begin(revision);
      else
        await this.#end(revision.id, {
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
    const { revisions, config, log } = this.#options;
    const { id } = revision;
    const said: Promise<void>[] = [];
    const say = (line: BuildLine) => void said.push(revisions.buildLog(id, [line]));
    const late = new AbortController();
    let timer: NodeJS.Timeout | undefined;
    try {
      await this.#turn(signal);
      const seconds = config.serving.buildTimeout;
      timer = setTimeout(
        () => late.abort(new CaissonError("timeout", `The build took longer than ${seconds} s, the limit.`)),
        seconds * 1000,
      );
      const job: Job = { revision, signal: AbortSignal.any([signal, late.signal]), say };
      try {
        await this.#prepare(job, prepare);
        clearTimeout(timer);
        await this.#deploy({ ...job, signal });
      } finally {
        this.#leave();
      }
      await Promise.all(said);
      await revisions.move(id, { from: ["queued", "building"], to: "succeeded" });
      log.info({ revision: id }, "a revision was deployed");
      await this.#options.serving.settle();
    } catch (thrown) {
      const error = signal.aborted
        ? (signal.reason as Error)
        : late.signal.aborted
          ? (late.signal.reason as Error)
          : thrown;
      if (error instanceof Stopped) return;
      log.info({ err: error, revision: id }, "a deployment failed");
      const { message } = error instanceof Cancelled ? error : toCaissonError(error);
      say({ level: "error", step: await this.#stepOf(id), message });
      await Promise.all(said);
      const reason = error instanceof Cancelled ? "cancelled" : late.signal.aborted ? "timed_out" : "error";
      await this.#end(id, { reason, message }).catch((fault: unknown) =>
        log.error({ err: fault, revision: id }, "the end of a deployment was not recorded; it is at the next start"),
      );
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

  async #end(id: string, end: { reason: "error" | "cancelled" | "timed_out"; message: string }): Promise<void> {
    const { revisions, serving, contents } = this.#options;
    await revisions.move(id, { from: ["queued", "building"], to: "failed", ...end });
    await serving.stop(id);
    await contents.remove(id);
  }

  async #prepare(job: Job, prepare: Prepare | undefined): Promise<void> {
    const { revisions, contents } = this.#options;
    const { id } = job.revision;
    await revisions.move(id, { from: ["queued"], to: "building" });
    await revisions.setStage(id, "preparing", "running");
    const content = prepare === undefined ? await this.#build(job, await contents.of(id)) : await prepare(job);
    job.signal.throwIfAborted();
    await contents.store(id, content);
    const { tree } = content;
    const files = tree.filter(({ kind }) => kind === "file").length;
    const bytes = tree.reduce((sum, entry) => sum + (entry.kind === "file" ? entry.bytes : 0), 0);
    const manifest = createHash("sha256").update(JSON.stringify(tree)).digest("hex");
    await revisions.setContent(id, { files, bytes, manifest });
    job.say({ level: "info", step: "preparing", message: `${files} files, ${bytes} bytes.` });
    // Stages that ran have ended already.
    const progress = JSON.parse((await revisions.get(id))?.progress ?? "{}") as Record<string, { status?: string }>;
    if (progress["preparing"]?.status === "running") await revisions.setStage(id, "preparing", "succeeded");
    for (const stage of ["installing", "building"] as const)
      if (progress[stage]?.status === "pending") await revisions.setStage(id, stage, "skipped");
  }

  /** Installs and builds in a machine, when the revision wants it and it was not done before a restart. */
  async #build(job: Job, content: RevisionContent): Promise<RevisionContent> {
    const { revisions, build } = this.#options;
    const { id } = job.revision;
    const row = (await revisions.get(id)) ?? job.revision;
    const config = JSON.parse(row.config) as AppConfig;
    const names = new Set(content.tree.map(({ path }) => path));
    const plan = planOf(config, names);
    const done = (JSON.parse(row.progress) as RevisionProgress).building.status === "succeeded";
    if (done || (plan.install === undefined && plan.build === undefined)) return content;
    const target = await this.target(row, { key: "", context: "build" });
    const identity = { org: { id: row.org_id, slug: target.orgSlug }, app: target.app, revisionId: id };
    const env = { ...(await revisions.environment(row, "build")), ...platformVariables(identity), CI: "true" };
    const { tree } = await buildInMachine(plan, content.tree, env, job, build);
    return { ...content, tree };
  }

  async #deploy({ revision, signal, say }: Job): Promise<void> {
    const { revisions, node, contents } = this.#options;
    const { id } = revision;
    await revisions.setStage(id, "deploying", "running");
    const { tree } = await contents.of(id);
    const bytes = await node.files.pack(id, tree, { signal });
    say({ level: "info", step: "deploying", message: `The image has ${bytes} bytes.` });
    const row = (await revisions.get(id)) ?? revision;
    for (const name of timelinesFor(row)) {
      const timeline = keyOf(name);
      const log = (message: string) => say({ level: "info", step: "deploying", message, timeline });
      await revisions.setTimelinePart(id, name, "timeline", "running");
      await revisions.setTimelinePart(id, name, "predeploy", "skipped");
      await revisions.setTimelinePart(id, name, "warmup", "running");
      await this.#healthy(row, { key: timeline, context: contextOf(name) }, signal);
      log("The app listens.");
      await revisions.setTimelinePart(id, name, "warmup", "succeeded");
      await revisions.setTimelinePart(id, name, "routing", "running");
      signal.throwIfAborted();
      const { blocked }: Activation = await revisions.timelines.activate(row, name);
      log(blocked ? "The timeline is pinned to another revision, which it goes on serving." : "The app is served.");
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
    const target = await this.target(revision, timeline);
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    if (signal.aborted) abort();
    await Promise.race([this.#options.serving.warmUp(target), promise]).finally(() =>
      signal.removeEventListener("abort", abort),
    );
  }

  /** @throws CaissonError `gone` when the app was deleted */
  async target(revision: RevisionRow, timeline: { readonly key: string; readonly context: string }): Promise<Target> {
    const app = await this.#options.apps.get(revision.app_id);
    if (app === undefined) throw new CaissonError("gone", "The app was deleted.");
    const orgSlug = await this.#options.orgSlug(revision.org_id);
    return { app, orgSlug, revision, timeline: timeline.key, context: timeline.context };
  }

  async #turn(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#slots > 0) {
      this.#slots--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#queue.push(resolve);
    const abort = () => {
      const index = this.#queue.indexOf(resolve);
      if (index !== -1) this.#queue.splice(index, 1);
      else this.#leave();
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    await promise.finally(() => signal.removeEventListener("abort", abort));
  }

  #leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#slots++;
    else next();
  }
}
