/** Rows of the label index of sandboxes. See `kernel/labels/filter-keys.ts`. */
import { filterKeys } from "../kernel/labels/filter-keys.ts";

/** A row of the index. */
export interface LabelRow {
  readonly org_id: string;
  /** See `filterKey`. */
  readonly filter: string;
  readonly created_at: number;
  readonly sandbox_id: string;
}

/** The rows of a sandbox. */
export function labelRows(
  { id, org_id, created_at }: { readonly id: string; readonly org_id: string; readonly created_at: number },
  labels: Readonly<Record<string, string>>,
): LabelRow[] {
  return filterKeys(labels).map((filter) => ({ org_id, filter, created_at, sandbox_id: id }));
}
