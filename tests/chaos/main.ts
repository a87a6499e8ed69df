/**
 * Chaos: kills, stops, fills, locks, damages and floods an installation while official clients work on it, and checks after each round
 * that nothing was lost and nothing is left.
 *
 *   node tests/chaos/main.ts --rounds 100 --seed 7 [--only kill,flood-frames] [--keep]
 *   node tests/chaos/main.ts --seed 7 --from 42 --rounds 1      repeats round 42
 *
 * The seed decides faults, sizes and moments. Real machines are not deterministic, so a repeated round is alike and not the same.
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { parseArgs } from "node:util";
import { lineOf, tableOf } from "./report/lines.ts";
import { run, type Verdict } from "./run.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    from: { type: "string", default: "1" },
    only: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});
const commit = execFileSync("git", ["describe", "--always", "--dirty"], { cwd: import.meta.dirname, encoding: "utf8" });
console.log(`commit ${commit.trim()}, ${JSON.stringify(values)}`);
const { rounds, seed, from, only, keep } = values;
const verdicts: Verdict[] = [];
let ended = false;
// A second signal must not interrupt the removal of the installation.
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    if (!ended) console.log(tableOf(verdicts));
    ended = true;
    process.exit(1);
  });
await run(
  { rounds: Number(rounds), seed, from: Number(from), keep, ...(only !== undefined && { only: only.split(",") }) },
  (verdict) => {
    verdicts.push(verdict);
    console.log(lineOf(seed, verdict));
  },
);
console.log(tableOf(verdicts));
process.exit(verdicts.every(({ problems }) => problems.length === 0) ? 0 : 1);
