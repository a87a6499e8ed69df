/** Store = machines: what the store says runs, and nothing else, has a living machine; the API and health agree. */
import { differences, type Validator } from "./validator.ts";

/** The list has this many sandboxes, the newest ones. */
const page = 1000;

export const machines: Validator = {
  name: "machines",
  check({ rows, machines: files, health, listed }) {
    const running = rows.sandboxes.filter(({ phase }) => phase === "running").map(({ id }) => id);
    const newest = new Set(rows.sandboxes.slice(0, page).map(({ id }) => id));
    const claimed = files.filter(({ phase }) => phase === "claimed");
    const between = rows.sandboxes.filter(({ phase }) => phase === "creating" || phase === "stopping");
    const problems = [
      ...between.map(({ id, phase }) => `${id}: still ${phase}`),
      ...differences(
        ["running in the store", running],
        ["a claimed machine", claimed.map(({ machineId }) => machineId ?? "?")],
      ),
      ...claimed
        .filter(({ alive }) => !alive)
        .map(({ key, machineId }) => `${machineId} (${key}): its process is gone`),
      ...files.filter(({ phase }) => phase === undefined).map(({ key }) => `${key}: its record cannot be read`),
      ...files.filter(({ phase }) => phase === "starting").map(({ key }) => `${key}: still starting`),
      ...differences(
        ["running in the store", running.filter((id) => newest.has(id))],
        ["running in the list", Object.keys(listed).filter((id) => listed[id] === "running")],
      ),
    ];
    if (typeof health === "string") problems.push(`health: ${health}`);
    else if (health.machines !== running.length)
      problems.push(`health counts ${health.machines} machines, the store ${running.length}`);
    return problems;
  },
};
