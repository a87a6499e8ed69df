/** A new revision, checked against the limits. */
import { CaissonError } from "@caisson/protocol";
import { newVariables } from "../apps/index.ts";
import type { RevisionContext } from "./context.ts";
import type { NewRevision } from "./store.ts";
import type { RevisionDatabase, RevisionRow } from "./tables.ts";
import { isBranch, longestBranch } from "./timelines.ts";

/** Labels of a revision: what a build system knows of its commit. */
const maxLabels = 32;
const longestLabelKey = 128;
const longestLabelValue = 1024;

/** @throws CaissonError `invalid_argument`, `resource_exhausted` (REVISION_LIMIT_REACHED, ENV_VAR_LIMIT_REACHED) */
export async function createRevision(
  { store, removal, limits }: RevisionContext,
  db: RevisionDatabase,
  request: NewRevision,
): Promise<RevisionRow> {
  const { app, env, labels, branch, retention } = request;
  newVariables(env, { count: limits.envVars, bytes: limits.envBytes });
  checkLabels(labels);
  if (branch !== undefined && !isBranch(branch))
    throw new CaissonError(
      "invalid_argument",
      `The name of a branch has 1 to ${longestBranch} bytes and no control characters.`,
    );
  if (retention === "indefinite") checkRetention(limits.allowIndefiniteRetention);
  const { count } = await db
    .selectFrom("revisions")
    .select((eb) => eb.fn.countAll().as("count"))
    .where("app_id", "=", app.id)
    .where("deleted_at", "is", null)
    .executeTakeFirstOrThrow();
  if (Number(count) >= limits.maxRevisions && !(await removal.deleteOldest(app.id)))
    throw new CaissonError(
      "resource_exhausted",
      `This app has ${count} revisions, the limit, and all are active, being built or kept. Delete one first.`,
      { wireCode: "REVISION_LIMIT_REACHED" },
    );
  return store.create(request);
}

/** @throws CaissonError `forbidden` */
export function checkRetention(allowed: boolean): void {
  if (!allowed)
    throw new CaissonError(
      "forbidden",
      "This server does not keep revisions that nobody uses: `apps.allowIndefiniteRetention` is off.",
    );
}

function checkLabels(labels: Readonly<Record<string, string>>): void {
  const entries = Object.entries(labels);
  if (entries.length > maxLabels)
    throw new CaissonError("invalid_argument", `A revision has at most ${maxLabels} labels, not ${entries.length}.`);
  for (const [key, value] of entries)
    if (key === "" || Buffer.byteLength(key) > longestLabelKey || Buffer.byteLength(value) > longestLabelValue)
      throw new CaissonError(
        "invalid_argument",
        `The label ${JSON.stringify(key.slice(0, 140))} is not valid: a key has 1 to ${longestLabelKey} bytes, a value at most ${longestLabelValue}.`,
      );
}
