/** What is kept of a failing round: enough to judge it again without the installation. */
import { copyFileSync, existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { RoundResult } from "../round.ts";
import { databasePath } from "../world/store.ts";
import type { World } from "../world/world.ts";

export const observationFile = "observation.json";
export const historyFile = "history.jsonl";

/** The history and the server's log are in the folder already. @returns the folder */
export function keepRound(
  { folder, home }: World,
  { observation, ...result }: RoundResult & { readonly round: number; readonly first: number; readonly seed: string },
): string {
  writeFileSync(join(folder, "verdict.json"), JSON.stringify(result, undefined, 2));
  if (observation !== undefined)
    writeFileSync(join(folder, observationFile), JSON.stringify(observation, undefined, 1));
  for (const suffix of ["", "-wal"]) {
    const path = databasePath(home) + suffix;
    if (existsSync(path)) copyFileSync(path, join(folder, `caisson.db${suffix}`));
  }
  return folder;
}
