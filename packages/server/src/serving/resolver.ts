/** Finds what a hostname of an app leads to now. */
import type { AppsService, AppRow } from "../apps/index.ts";
import type { DomainsService } from "../domains/index.ts";
import type { RevisionRow, RevisionsService, TimelineRow } from "../revisions/index.ts";
import { keyOf, previewOf } from "../revisions/timelines.ts";
import { branchName, type AppHost } from "./hosts.ts";
import { Turns } from "./turns.ts";

/** A revision in a timeline: what instances are made for. */
export interface Target {
  readonly app: AppRow;
  readonly orgSlug: string;
  readonly revision: RevisionRow;
  /** Key of the timeline. */
  readonly timeline: string;
  readonly context: TimelineRow["context"];
}

/** Where a hostname leads: to one revision of these, by their weights. */
interface Ways {
  readonly timelineId: string;
  readonly targets: readonly { readonly target: Target; readonly weight: number }[];
}

/** Milliseconds that an answer is used again. Other servers change timelines as well. */
const freshFor = 1_000;
const mostKnown = 10_000;
/** Lookups at a time of names that led nowhere before. */
const mostLookups = 16;
/** Apps whose branches are in memory, up to 1000 of each. */
const mostApps = 100;

export class Resolver {
  readonly #apps: AppsService;
  readonly #revisions: RevisionsService;
  readonly #domains: DomainsService;
  /** By timeline, of those that divide their requests. */
  readonly #turns = new Map<string, Turns>();
  readonly #known = new Map<string, { readonly at: number; readonly ways: Promise<Ways | undefined> }>();
  /** Names that led somewhere. */
  readonly #good = new Set<string>();
  #lookups = 0;
  /** By app: anybody can ask for names of branches without end, and each must not cost a list of all that there are. */
  readonly #branches = new Map<string, { readonly at: number; readonly byName: Promise<Map<string, TimelineRow>> }>();

  constructor(apps: AppsService, revisions: RevisionsService, domains: DomainsService) {
    this.#apps = apps;
    this.#revisions = revisions;
    this.#domains = domains;
  }

  /**
   * Where the next request goes. When revisions divide them, each call is a turn.
   * @param label for the memory @param hosts what it may mean, the likeliest first
   * @param before the revision that the same request was sent to before: it stays there if it can, which is no turn
   */
  async find(label: string, hosts: readonly AppHost[], before?: string): Promise<Target | undefined> {
    const ways = await this.#ways(label, hosts);
    if (ways === undefined || ways.targets.length <= 1) return ways?.targets[0]?.target;
    const again = ways.targets.find(({ target }) => target.revision.id === before);
    if (again !== undefined) return again.target;
    if (this.#turns.size >= mostKnown) this.#turns.clear();
    let turns = this.#turns.get(ways.timelineId);
    if (turns === undefined) this.#turns.set(ways.timelineId, (turns = new Turns()));
    const next = turns.next(ways.targets.map(({ target, weight }) => ({ id: target.revision.id, weight })));
    return ways.targets.find(({ target }) => target.revision.id === next)!.target;
  }

  /** All that requests can lead to. Empty: nothing. */
  async all(label: string, hosts: readonly AppHost[]): Promise<Target[]> {
    return ((await this.#ways(label, hosts))?.targets ?? []).map(({ target }) => target);
  }

  #ways(label: string, hosts: readonly AppHost[]): Promise<Ways | undefined> {
    const known = this.#known.get(label);
    if (known !== undefined && performance.now() - known.at < freshFor) return known.ways;
    const strange = !this.#good.has(label);
    // Strangers can make up names without end. More at a time are answered with no, so that the database stays free for others.
    if (strange && this.#lookups >= mostLookups) return Promise.resolve(undefined);
    if (this.#known.size >= mostKnown) this.#known.clear();
    const ways = this.#lookUp(label, hosts, strange);
    this.#known.set(label, { at: performance.now(), ways });
    ways.catch(() => this.#known.delete(label));
    return ways;
  }

  async #lookUp(label: string, hosts: readonly AppHost[], strange: boolean): Promise<Ways | undefined> {
    if (strange) this.#lookups++;
    try {
      const ways = await this.#first(hosts);
      if (ways === undefined) this.#good.delete(label);
      else {
        if (this.#good.size >= mostKnown) this.#good.clear();
        this.#good.add(label);
      }
      return ways;
    } finally {
      if (strange) this.#lookups--;
    }
  }

  /** A timeline or an app has changed. */
  forget(): void {
    this.#known.clear();
    this.#branches.clear();
  }

  async #first(hosts: readonly AppHost[]): Promise<Ways | undefined> {
    for (const host of hosts) {
      const ways = await this.#of(host);
      if (ways !== undefined) return ways;
    }
    return undefined;
  }

  async #of(asked: AppHost): Promise<Ways | undefined> {
    const host = asked.kind === "domain" ? await this.#behind(asked.domain) : asked;
    if (host === undefined) return undefined;
    const app = await this.#apps.bySlugs(host.org, host.app);
    if (app === undefined) return undefined;
    const timeline = await this.#timeline(app.id, host);
    if (timeline === undefined) return undefined;
    const targets: { target: Target; weight: number }[] = [];
    for (const { revisionId, weight } of await this.#revisions.traffic.of(timeline)) {
      const revision = await this.#revisions.get(revisionId);
      if (revision === undefined || revision.deleted_at !== null || revision.disabled_at !== null) continue;
      const { key, context } = timeline;
      targets.push({ target: { app, orgSlug: host.org, revision, timeline: key, context }, weight });
    }
    return targets.length === 0 ? undefined : { timelineId: timeline.id, targets };
  }

  async #behind(domain: string): Promise<Exclude<AppHost, { kind: "domain" }> | undefined> {
    const found = await this.#domains.find(domain);
    return found && { kind: "production", ...found };
  }

  async #timeline(appId: string, host: Exclude<AppHost, { kind: "domain" }>): Promise<TimelineRow | undefined> {
    const { timelines } = this.#revisions;
    if (host.kind === "production") return timelines.find(appId, "production");
    if (host.kind === "revision") return timelines.find(appId, keyOf(previewOf(host.revision)));
    return (await this.#branchesOf(appId)).get(host.branch);
  }

  /** Of two branches with the same name in hostnames, the newer one. */
  #branchesOf(appId: string): Promise<Map<string, TimelineRow>> {
    const known = this.#branches.get(appId);
    if (known !== undefined && performance.now() - known.at < freshFor) return known.byName;
    if (this.#branches.size >= mostApps) this.#branches.clear();
    const byName = this.#revisions.timelines
      .branches(appId)
      .then(
        (all) => new Map(all.toReversed().map((row) => [branchName(row.key.slice(row.key.indexOf("/") + 1)), row])),
      );
    this.#branches.set(appId, { at: performance.now(), byName });
    byName.catch(() => this.#branches.delete(appId));
    return byName;
  }
}
