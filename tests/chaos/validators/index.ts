/** Every invariant. */
import type { Model } from "../model/model.ts";
import { answers } from "./answers.ts";
import { cgroups } from "./cgroups.ts";
import { contents } from "./contents.ts";
import { counters } from "./counters.ts";
import { disks } from "./disks.ts";
import { egress } from "./egress.ts";
import { machines } from "./machines.ts";
import type { Observation } from "./observation.ts";
import { processes } from "./processes.ts";
import { quotas } from "./quotas.ts";
import { routes } from "./routes.ts";
import { secrets } from "./secrets.ts";
import { server } from "./server.ts";
import type { Validator } from "./validator.ts";

export const validators: readonly Validator[] = [
  machines,
  processes,
  disks,
  cgroups,
  routes,
  quotas,
  answers,
  counters,
  contents,
  egress,
  secrets,
  server,
];

/** What is wrong, each line with the name of the rule in front. */
export function judge(observation: Observation, model: Model): readonly string[] {
  return validators.flatMap((validator) =>
    validator.check(observation, model).map((problem) => `${validator.name}: ${problem}`),
  );
}
