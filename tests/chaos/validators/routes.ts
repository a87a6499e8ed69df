/** Routes = running sandboxes: names of a running sandbox lead to it, names of an ended one nowhere. */
import { mustRun } from "../model/model.ts";
import type { Validator } from "./validator.ts";

/** The gateway found the sandbox, and nothing listens in it. */
const reached = 502;

export const routes: Validator = {
  name: "routes",
  check({ rows, deep }, model) {
    const running = new Set(rows.sandboxes.filter(({ phase }) => phase === "running").map(({ id }) => id));
    const problems = rows.previews
      .filter(({ sandbox_id }) => !running.has(sandbox_id))
      .map(({ label, sandbox_id }) => `${label}: a name of ${sandbox_id}, which does not run`);
    const labels = new Set(rows.previews.map(({ label }) => label));
    for (const sandbox of model.sandboxes.values()) {
      const { hostnames, belief, label } = sandbox;
      const runs = mustRun(sandbox);
      for (const hostname of hostnames) {
        const status = deep?.routes[hostname];
        if (runs && !labels.has(hostname.split(".")[0] ?? ""))
          problems.push(`${hostname}: ${label} runs, and its name is not in the store`);
        if (status === undefined) continue;
        if (runs && status !== reached) problems.push(`${hostname}: ${label} runs, its name answers ${status}`);
        if (belief === "absent" && (status === reached || status === 200))
          problems.push(`${hostname}: ${label} has ended, its name answers ${status}`);
      }
    }
    return problems;
  },
};
