/** Clients were told the truth: what was acknowledged is there, what was ended is gone, what had to end has ended. */
import type { Model } from "../model/model.ts";
import type { Observation } from "./observation.ts";
import type { Validator } from "./validator.ts";

export const answers: Validator = {
  name: "answers",
  check(observation, model) {
    return [...model.complaints, ...sandboxes(observation, model), ...volumes(observation, model)];
  },
};

function sandboxes({ rows }: Observation, model: Model): string[] {
  const byLabel = new Map(rows.sandboxes.map((row) => [row.label, row]));
  const problems: string[] = [];
  for (const { label, belief, mustEnd, session } of model.sandboxes.values()) {
    const row = byLabel.get(label);
    const phase = row?.phase ?? "absent";
    const runs = phase === "running";
    if (mustEnd !== undefined && runs) problems.push(`${label} (${row?.id}): runs, although ${mustEnd}`);
    else if (mustEnd === undefined && belief === "present" && !runs)
      problems.push(
        `${label} (${row?.id}): ${session ? "a session" : "a sandbox"} that its client uses is ${phase}: ${row?.reason ?? "no reason"}`,
      );
    else if (belief === "absent" && runs)
      problems.push(`${label} (${row?.id}): runs, although its end was acknowledged`);
  }
  return problems;
}

function volumes({ rows }: Observation, model: Model): string[] {
  const problems: string[] = [];
  for (const [kind, beliefs, found] of [
    ["volume", model.volumes, rows.volumes],
    ["snapshot", model.snapshots, rows.snapshots],
  ] as const) {
    const states = new Map(found.map(({ slug, state }) => [slug, state]));
    for (const { slug, belief } of beliefs.values()) {
      const exists = states.get(slug) === "ready";
      if (belief === "present" && !exists)
        problems.push(`${kind} ${slug}: was acknowledged and is ${states.get(slug) ?? "gone"}`);
      if (belief === "absent" && exists) problems.push(`${kind} ${slug}: was deleted and is there`);
    }
  }
  return problems;
}
