/**
 * The index behind label filters. What has labels has one row for every set of labels that a filter can name and that it has: 31 rows at
 * most, since it has at most five labels. So every filter is one lookup, however many labels it names and however many things there
 * are. An index for each single label would make the server compare two long lists for a filter that names two frequent labels.
 */
import { createHash } from "node:crypto";

/** The key of a filter: what its rows in the index begin with. The order of the labels does not matter. */
export function filterKey(labels: Readonly<Record<string, string>>): string {
  const entries = Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return createHash("sha256").update(JSON.stringify(entries)).digest("base64url").slice(0, 22);
}

/** The keys of all filters that something with these labels passes, but for the empty filter, which needs no index. */
export function filterKeys(labels: Readonly<Record<string, string>>): readonly string[] {
  const subsets: [string, string][][] = [[]];
  for (const entry of Object.entries(labels)) for (const subset of [...subsets]) subsets.push([...subset, entry]);
  return subsets.slice(1).map((subset) => filterKey(Object.fromEntries(subset)));
}
