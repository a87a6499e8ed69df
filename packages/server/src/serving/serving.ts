/** Serves revisions of apps: from a hostname to an instance, which is started when there is none. */
import type { AppConfig } from "@caisson/api";
import { CaissonError, newId, type HttpDirectory, type HttpRoute, type MachineExit } from "@caisson/protocol";
import type { RevisionRow, TimelineName } from "../revisions/index.ts";
import { contextOf, keyOf as timelineKey, production } from "../revisions/timelines.ts";
import type { WantedWorkload, Workload, WorkloadOwner } from "../workloads/index.ts";
import type { AppsService } from "../apps/index.ts";
import { cronsAllowed, requireNoJobs } from "./cron/forbidden.ts";
import { Group, type GroupLimits } from "./group.ts";
import { productionHost, readLabel } from "./hosts.ts";
import type { Instance } from "./instance.ts";
import { withoutOutput } from "./output.ts";
import { runtimeOf } from "./program.ts";
import { StaticBackend } from "./static/backend.ts";
import type { Resolver, Target } from "./resolver.ts";
import type { ScalingSettings } from "./scaling/settings.ts";
import { startInstance, type InstanceParts } from "./start-instance.ts";

/** Milliseconds between two notes that a revision is used. */
const touchInterval = 3600_000;
/** Milliseconds from a healthy start to the change of the timeline. */
const activationTime = 10_000;

export interface ServingOptions extends InstanceParts {
  readonly apps: AppsService;
  readonly resolver: Resolver;
  readonly scaling: ScalingSettings;
  readonly orgSlug: (orgId: string) => Promise<string>;
}

interface Served {
  readonly target: Target;
  readonly backend: Group | StaticBackend;
  readonly ended: AbortController;
  touchedAt: number;
  /** Its timeline is about to serve it: until then it stays, on the clock of `performance.now`. */
  keepUntil: number;
}

export class Serving implements HttpDirectory, WorkloadOwner {
  readonly #options: ServingOptions;
  /** By revision and timeline. */
  readonly #served = new Map<string, Served>();
  /** From before their image is made until they have given back everything. */
  readonly #instances = new Map<string, { readonly orgId: string; instance?: Instance }>();
  /** Those out of service, until their instances have ended. */
  readonly #leaving = new Map<Served, Promise<void>>();
  #closed = false;
  /** Called when an instance listens. Must not throw. */
  onListening?: (target: Target, instance: Instance) => void;

  constructor(options: ServingOptions) {
    this.#options = options;
  }

  /** For metrics. */
  counts(): { instances: number; waiting: number } {
    const waiting = [...this.#served.values()].reduce((sum, { backend }) => sum + backend.waiting, 0);
    return { instances: this.#instances.size, waiting };
  }

  async find(label: string): Promise<HttpRoute | undefined> {
    const hosts = readLabel(label);
    if (hosts.length === 0 || this.#closed) return undefined;
    const target = await this.#options.resolver.find(label, hosts);
    if (target === undefined) return undefined;
    const served = this.#serve(target);
    served.backend.expect();
    const { queueTimeout } = this.#options.config.serving;
    return {
      workloadId: target.app.id,
      connectTimeout: queueTimeout * 1000 + 5_000,
      traced: true,
      connect: (signal) => this.#connect(label, target.revision.id, signal),
      ended: served.ended.signal,
    };
  }

  async known(label: string): Promise<boolean> {
    const hosts = readLabel(label);
    return hosts.length > 0 && (await this.#options.resolver.all(label, hosts)).length > 0;
  }

  /** @param revisionId where it was to go when its route was found */
  async #connect(label: string, revisionId: string, signal: AbortSignal) {
    for (let attempt = 0; ; attempt++) {
      // Again: another revision may have taken over since the route was found, and while the request waited.
      const target = await this.#options.resolver.find(label, readLabel(label), revisionId);
      if (target === undefined || this.#closed)
        throw new CaissonError("gone", "This app, or this revision of it, is no longer served.");
      try {
        return await this.#serve(target).backend.connect(signal);
      } catch (error) {
        if (!(error instanceof CaissonError)) throw error;
        if (error.code !== "gone" || attempt === 2)
          throw new CaissonError(error.code, withoutOutput(error.message), { cause: error });
      }
    }
  }

  #serve(target: Target): Served {
    const key = keyOf(target);
    const now = performance.now();
    let served = this.#served.get(key);
    if (served === undefined) {
      served = {
        target,
        backend: this.#backend(target),
        ended: new AbortController(),
        touchedAt: -Infinity,
        keepUntil: 0,
      };
      this.#served.set(key, served);
    }
    if (now - served.touchedAt > touchInterval) {
      served.touchedAt = now;
      void this.#options.revisions
        .touch(target.revision.id)
        .catch((error: unknown) => this.#options.log.warn({ err: error }, "the use of a revision was not noted"));
    }
    return served;
  }

  #backend(target: Target): Group | StaticBackend {
    const { contents, node, log } = this.#options;
    const runtime = runtimeOf(JSON.parse(target.revision.config) as AppConfig);
    if (runtime?.type === "static")
      return new StaticBackend({ revisionId: target.revision.id, runtime, contents, files: node.files, log });
    return new Group({
      limits: () => this.#limits(target),
      make: (signal) => this.#make(target, signal),
      log,
    });
  }

  #limits({ app, timeline }: Target): GroupLimits {
    const { serving } = this.#options.config;
    const scaling = this.#options.scaling.of(app.id);
    return {
      target: scaling.target,
      min: timeline === "production" ? scaling.min_instances : 0,
      max: scaling.max_instances,
      idle: serving.idleTimeout * 1000,
      concurrency: scaling.concurrency,
      queue: serving.queue,
      queueTimeout: serving.queueTimeout * 1000,
      drainTimeout: serving.drainTimeout * 1000,
    };
  }

  /** Starts an instance, when the organisation may have one more. */
  async #make(target: Target, signal: AbortSignal): Promise<Instance> {
    const { config, log } = this.#options;
    const { revision, app, timeline } = target;
    const orgId = revision.org_id;
    const running = [...this.#instances.values()].filter((other) => other.orgId === orgId).length;
    if (running >= config.serving.instancesPerOrganisation)
      throw new CaissonError(
        "resource_exhausted",
        `The organisation runs ${running} instances of apps, the limit. Wait for some to become idle.`,
      );
    const id = newId("ins", config.sandbox.region);
    // From now on it counts: others may begin before this one starts.
    const entry: { readonly orgId: string; instance?: Instance } = { orgId };
    this.#instances.set(id, entry);
    try {
      const instance = (entry.instance = await startInstance(id, target, this.#options, signal));
      log.info({ instance: id, app: app.slug, revision: revision.id, timeline }, "an instance of an app starts");
      void instance.ended.then(() => instance.stop()).then(() => this.#instances.delete(id));
      void instance.ready.then(
        () => this.onListening?.(target, instance),
        () => undefined,
      );
      return instance;
    } catch (error) {
      this.#instances.delete(id);
      throw error;
    }
  }

  /**
   * Starts a first instance of a revision that is to serve a timeline, and keeps it for the requests to come.
   * @throws CaissonError why it does not listen, or must not serve
   */
  async warmUp(target: Target): Promise<void> {
    const served = this.#serve(target);
    served.keepUntil = Number.POSITIVE_INFINITY;
    try {
      const { backend } = served;
      if (!backend.listening) await backend.start();
      if (backend instanceof Group && !cronsAllowed(target.revision))
        await backend.use((instance) => requireNoJobs(instance), served.ended.signal);
    } finally {
      served.keepUntil = performance.now() + activationTime;
    }
  }

  /**
   * Does something in an instance of what production of an app serves, which is started when there is none.
   * @throws CaissonError as `Group.use`
   */
  async inProduction<T>(
    appId: string,
    revisionId: string,
    work: (instance: Instance) => Promise<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { apps, revisions, orgSlug } = this.#options;
    const [app, revision] = [await apps.get(appId), await revisions.get(revisionId)];
    if (app === undefined || revision === undefined || this.#closed)
      throw new CaissonError("gone", "This app, or this revision of it, is no longer served.");
    const org = await orgSlug(app.org_id);
    const { backend } = this.#serve({
      app,
      orgSlug: org,
      revision,
      timeline: timelineKey(production),
      context: contextOf(production),
    });
    if (backend instanceof StaticBackend) throw new CaissonError("invalid_state", "A static site runs nothing.");
    return backend.use(work, signal);
  }

  /** A timeline leads elsewhere. */
  routed(): void {
    this.#options.resolver.forget();
  }

  /** Makes a revision ready to serve a timeline that a client wants it to serve. @throws CaissonError why it cannot */
  async activate(revision: RevisionRow, name: TimelineName, orgSlug: string): Promise<void> {
    const app = await this.#options.apps.get(revision.app_id);
    if (app === undefined) throw new CaissonError("not_found", "The app was deleted.");
    await this.warmUp({ app, orgSlug, revision, timeline: timelineKey(name), context: contextOf(name) });
    this.#options.resolver.forget();
  }

  /** After timelines changed: takes revisions out of service that no timeline leads to any more. */
  async settle(): Promise<void> {
    const { revisions, resolver } = this.#options;
    resolver.forget();
    for (const served of this.#served.values()) {
      const { target } = served;
      // In this order: a build that has ended has changed its timelines before, and a new wish to keep it may come meanwhile.
      if ((await revisions.get(target.revision.id))?.status === "building") continue;
      const timeline = await revisions.timelines.find(target.app.id, target.timeline);
      const shares = timeline === undefined ? [] : await revisions.traffic.of(timeline);
      // Its own revision also runs its cron jobs, even when others get all requests.
      const own = timeline?.revision_id === target.revision.id;
      const serves = own || shares.some(({ revisionId }) => revisionId === target.revision.id);
      if (serves || served.keepUntil > performance.now()) continue;
      void this.#retire(served);
    }
  }

  /** Serves production of the apps that want instances even when nobody asks, also after a restart. */
  async keep(): Promise<void> {
    const { scaling, apps, resolver, contents, node, orgSlug } = this.#options;
    await scaling.refresh();
    for (const appId of scaling.kept()) {
      const app = await apps.get(appId);
      if (app === undefined || this.#closed) continue;
      const host = productionHost(app.slug, await orgSlug(app.org_id));
      for (const target of await resolver.all(host.label, [host.host])) {
        if (this.#served.has(keyOf(target))) continue;
        // Another node may have its files.
        if ((await contents.find(target.revision.id))?.nodeId === node.id && !this.#closed) this.#serve(target);
      }
    }
  }

  /** @param drain milliseconds for requests under way; 0 also ends those of an earlier call */
  #retire(served: Served, drain?: number): Promise<void> {
    const key = keyOf(served.target);
    if (this.#served.get(key) === served) this.#served.delete(key);
    if (drain === 0) served.ended.abort();
    const left = served.backend.close(drain).finally(() => this.#leaving.delete(served));
    this.#leaving.set(served, left);
    return left;
  }

  /** Takes a revision out of service at once, in all timelines, and waits until its instances have ended. */
  async stop(revisionId: string): Promise<void> {
    this.#options.resolver.forget();
    await this.#stopAll(({ target }) => target.revision.id === revisionId);
  }

  /** The same for all revisions of an app. */
  async stopApp(appId: string): Promise<void> {
    this.#options.resolver.forget();
    await this.#stopAll(({ target }) => target.app.id === appId);
  }

  async #stopAll(which: (served: Served) => boolean): Promise<void> {
    const all = [...this.#served.values(), ...this.#leaving.keys()].filter(which);
    await Promise.all(all.map((served) => this.#retire(served, 0)));
  }

  /** Brings numbers of instances to what the load asks for. */
  async scale(): Promise<void> {
    for (const [key, { backend, target }] of this.#served) {
      backend.scale();
      if (backend.idle && this.#limits(target).min === 0) this.#served.delete(key);
    }
  }

  /** Instances of a former process are not taken over: their output would be lost. Requests start new ones. */
  async wanted(): Promise<readonly WantedWorkload[]> {
    return [];
  }

  adopted(): void {}

  exited({ id }: Pick<Workload, "id">, exit: MachineExit): void {
    this.#instances.get(id)?.instance?.exited(exit);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#stopAll(() => true);
  }
}

function keyOf({ revision, timeline }: Target): string {
  return `${revision.id} ${timeline}`;
}
