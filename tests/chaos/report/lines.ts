/** What a run prints: one line for each round with the beginnings of its problems, and a table by fault at the end. */
import type { Verdict } from "../run.ts";

export function lineOf(seed: string, { round, faults, seconds, calls, problems, folder }: Verdict): string {
  const verdict = problems.length === 0 ? "ok" : "FAILED";
  const work = `${calls.ok} calls, ${calls.failed} failed`;
  const line = `round ${round}  seed ${seed}  ${faults.join(" + ")}  ${seconds.toFixed(1)} s  ${work}  ${verdict}`;
  const shown = problems.slice(0, 12).map((problem) => `    ${problem.split("\n", 3).join("\n      ").slice(0, 600)}`);
  if (problems.length > shown.length) shown.push(`    and ${problems.length - shown.length} more`);
  if (folder !== undefined) shown.push(`    kept in ${folder}`);
  return [line, ...shown].join("\n");
}

export function tableOf(verdicts: readonly Verdict[]): string {
  const names = [...new Set(verdicts.flatMap(({ faults }) => faults))].toSorted();
  const rows = names.map((name) => {
    const own = verdicts.filter(({ faults }) => faults.includes(name));
    const failed = own.filter(({ problems }) => problems.length > 0).length;
    return `${name.padEnd(24)}${String(own.length).padStart(7)}${String(failed).padStart(7)}`;
  });
  const failed = verdicts.filter(({ problems }) => problems.length > 0).length;
  const seconds = verdicts.map((verdict) => verdict.seconds).toSorted((a, b) => a - b);
  const median = seconds[Math.floor(seconds.length / 2)]?.toFixed(1) ?? "-";
  return [
    `${"fault".padEnd(24)}${"rounds".padStart(7)}${"failed".padStart(7)}`,
    ...rows,
    `${verdicts.length} rounds, ${failed} failed, ${median} s at the median, ${seconds.at(-1)?.toFixed(1) ?? "-"} s at most`,
  ].join("\n");
}
