/** One deployment in progress, as its steps see it. */
import type { BuildLine, RevisionRow } from "../revisions/index.ts";
import type { RevisionContent } from "../serving/index.ts";

/** What a step of a deployment can use. */
export interface Job {
  readonly revision: RevisionRow;
  /** Aborted when it is cancelled, takes too long, or the server stops. */
  readonly signal: AbortSignal;
  /** Resolves when the line is stored. Never rejects. */
  readonly say: (line: BuildLine) => Promise<void>;
}

/** Provides the files of a revision. May run the stages `installing` and `building`. */
export type Prepare = (job: Job) => Promise<RevisionContent>;
