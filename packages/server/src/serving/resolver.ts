/** Finds what a hostname of an app leads to now. */
import type { AppsService, AppRow } from "../apps/index.ts";
import type { RevisionRow, RevisionsService, TimelineRow } from "../revisions/index.ts";
import { keyOf, previewOf } from "../revisions/timelines.ts";
import { branchName, type AppHost } from "./hosts.ts";

/** A revision in a timeline: what instances are made for. */
export interface Target {
  readonly app: AppRow;
  readonly orgSlug: string;
  readonly revision: RevisionRow;
  /** Key of the timeline. */
  readonly timeline: string;
  readonly context: TimelineRow["context"];
}

/** Milliseconds that an answer is used again. Other servers change timelines as well. */
const freshFor = 1_000;
const mostKnown = 10_000;

export class Resolver {
  readonly #apps: AppsService;
  readonly #revisions: RevisionsService;
  readonly #known = new Map<string, { readonly at: number; readonly target: Promise<Target | undefined> }>();

  constructor(apps: AppsService, revisions: RevisionsService) {
    this.#apps = apps;
    this.#revisions = revisions;
  }

  /** @param label for the memory @param hosts what it may mean, the likeliest first */
  find(label: string, hosts: readonly AppHost[]): Promise<Target | undefined> {
    const known = this.#known.get(label);
    if (known !== undefined && performance.now() - known.at < freshFor) return known.target;
    if (this.#known.size >= mostKnown) this.#known.clear();
    const target = this.#first(hosts);
    this.#known.set(label, { at: performance.now(), target });
    target.catch(() => this.#known.delete(label));
    return target;
  }

  /** A timeline or an app has changed. */
  forget(): void {
    this.#known.clear();
  }

  async #first(hosts: readonly AppHost[]): Promise<Target | undefined> {
    for (const host of hosts) {
      const target = await this.#target(host);
      if (target !== undefined) return target;
    }
    return undefined;
  }

  async #target(host: AppHost): Promise<Target | undefined> {
    const app = await this.#apps.bySlugs(host.org, host.app);
    if (app === undefined) return undefined;
    const timeline = await this.#timeline(app.id, host);
    if (timeline === undefined) return undefined;
    const revision = await this.#revisions.get(timeline.revision_id);
    if (revision === undefined || revision.deleted_at !== null || revision.disabled_at !== null) return undefined;
    return { app, orgSlug: host.org, revision, timeline: timeline.key, context: timeline.context };
  }

  async #timeline(appId: string, host: AppHost): Promise<TimelineRow | undefined> {
    const { timelines } = this.#revisions;
    if (host.kind === "production") return timelines.find(appId, "production");
    if (host.kind === "revision") return timelines.find(appId, keyOf(previewOf(host.revision)));
    const all = await timelines.list(appId, 1000);
    return all.find(
      ({ slug, key }) => slug === "git-branch" && branchName(key.slice(key.indexOf("/") + 1)) === host.branch,
    );
  }
}
