/** Nothing exceeds the limits of the organisation. */
import type { Validator } from "./validator.ts";

export const quotas: Validator = {
  name: "quotas",
  check({ rows, limits }) {
    const live = rows.sandboxes.filter(({ phase }) => phase !== "stopped").length;
    const volumes = rows.volumes.filter(({ state }) => state !== "deleted");
    const count = volumes.length + rows.snapshots.length;
    const bytes = volumes.reduce((sum, { capacity }) => sum + capacity, 0);
    const problems: string[] = [];
    if (live > limits.sandboxes) problems.push(`${live} sandboxes live, the limit is ${limits.sandboxes}`);
    if (count > limits.volumes) problems.push(`${count} volumes and snapshots, the limit is ${limits.volumes}`);
    if (bytes > limits.volumeBytes) problems.push(`volumes of ${bytes} bytes, the limit is ${limits.volumeBytes}`);
    return problems;
  },
};
