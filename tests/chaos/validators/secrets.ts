/** Secrets are stored exactly as long as their sandbox lives, and reach their host and no other way. */
import { mustRun } from "../model/model.ts";
import type { Validator } from "./validator.ts";

export const secrets: Validator = {
  name: "secrets",
  check({ rows, deep }, model) {
    const live = new Set(rows.sandboxes.filter(({ phase }) => phase !== "stopped").map(({ id }) => id));
    const owners = new Set(rows.secrets.map(({ sandbox_id }) => sandbox_id));
    return [
      ...[...owners].filter((id) => !live.has(id)).map((id) => `${id}: has ended, and its secrets are stored`),
      ...[...model.sandboxes.values()]
        .filter((sandbox) => mustRun(sandbox) && live.has(sandbox.id ?? "") && !owners.has(sandbox.id ?? ""))
        .map(({ id }) => `${id}: runs, and its secrets are gone`),
      ...(deep?.wrongKeys ?? []).map((key) => `the upstream host got the key ${JSON.stringify(key.slice(0, 60))}`),
    ];
  },
};
