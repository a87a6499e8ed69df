/** What the slices that build and serve use of revisions. */
import type { EnvContext, Revision, RevisionProgress } from "@caisson/api";
import { serviceKey } from "../kernel/services.ts";
import type { BuildLine } from "./logs/build-logs.ts";
import type { RuntimeLine } from "./logs/runtime-logs.ts";
import type { StageName, StageStatus, TimelineName, TimelinePart } from "./progress.ts";
import type { Domains } from "./show.ts";
import type { Content, Move, NewRevision } from "./store.ts";
import type { RevisionRow } from "./tables.ts";
import type { Timelines } from "./timelines.ts";
import type { Traffic } from "./traffic.ts";

export interface RevisionsService {
  /**
   * A queued one. Deletes the oldest of its app when there would be too many.
   * @throws CaissonError `invalid_argument`, `resource_exhausted`, `not_found` when its app was deleted meanwhile
   */
  create(request: NewRevision): Promise<RevisionRow>;
  /** Of any organisation, also a deleted one. */
  get(id: string): Promise<RevisionRow | undefined>;
  /** As clients see it. */
  show(revision: RevisionRow): Revision;
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
  /** Whether a variable of `environment` is secret. */
  hasSecretVariables(revision: RevisionRow, context: EnvContext): Promise<boolean>;
  /** Appends to the build log. Never throws. */
  buildLog(id: string, lines: readonly BuildLine[]): Promise<void>;
  /** Appends to the runtime logs. Never throws. */
  runtimeLogs(lines: readonly RuntimeLine[]): void;
  readonly timelines: Timelines;
  /** Who gets the requests of a timeline. */
  readonly traffic: Pick<Traffic, "of">;
  /** Called when a timeline leads elsewhere from now on, because of a client. Must not throw. */
  onRoute(listener: () => void): void;
  /** A client asked to cancel this build. Its end is a `move` to `failed` with the reason `cancelled`. Must not throw. */
  onCancel(listener: (id: string) => void): void;
  /** A revision was deleted: gives back what it holds. Called again until it succeeds; must be idempotent. */
  onDelete(listener: (revision: RevisionRow) => Promise<void>): void;
  /**
   * A client wants a timeline to serve this revision, which has been built: makes it ready. The timeline changes when the listener has
   * succeeded. @throws CaissonError: the timeline stays as it is
   */
  onActivate(listener: (revision: RevisionRow, timeline: TimelineName) => Promise<void>): void;
  /** Names the hostnames of timelines. Without it they have none. */
  useDomains(domains: Domains): void;
}

export const revisionsService = serviceKey<RevisionsService>("revisions");
