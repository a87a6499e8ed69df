/** The progress of a build: its state now, and again after each change, until the revision is at its end. */
import { isLive, type RevisionStore } from "../store.ts";
import type { Watch } from "../watch.ts";
import type { StreamValue } from "./streams.ts";
import { waitForNews } from "./wait.ts";

/** Milliseconds between looks when there is no news: another server on the same database may have written some. */
export const lookInterval = 2_000;

export async function* progressOf(
  { store, watch }: { readonly store: RevisionStore; readonly watch: Watch },
  id: string,
  signal: AbortSignal,
): AsyncGenerator<StreamValue> {
  let last: string | undefined;
  for (;;) {
    const { changed, stop } = watch.arm(id);
    try {
      const row = await store.get(id);
      if (row === undefined) return;
      if (row.progress !== last) yield (last = row.progress);
      if (!isLive(row)) return;
      if (!(await waitForNews(changed, lookInterval, signal))) yield undefined;
    } finally {
      stop();
    }
  }
}
