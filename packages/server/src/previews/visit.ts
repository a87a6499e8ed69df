/** A visit as the log keeps it. */
import type { Visit } from "@caisson/protocol";

export interface RecordedVisit extends Omit<Visit, "workloadId"> {
  readonly id: string;
  /** Visits right before this one that were not recorded one by one. */
  readonly skipped?: number;
}

export interface PendingVisit {
  readonly orgId: string;
  readonly workloadId: string;
  readonly visit: RecordedVisit;
}
