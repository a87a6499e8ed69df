/** Control groups = records of machines. As an ordinary user there may be none at all. */
import { differences, type Validator } from "./validator.ts";

export const cgroups: Validator = {
  name: "cgroups",
  check({ groups, machines }) {
    if (groups.length === 0 && process.getuid?.() !== 0) return [];
    return differences(["a control group", groups], ["a record", machines.map(({ key }) => key)]);
  },
};
