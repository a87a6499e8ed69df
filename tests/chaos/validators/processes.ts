/** Processes = records: each machine has its monitor and each monitor its record; one worker, and none of a dead server. */
import { differences, type Validator } from "./validator.ts";

export const processes: Validator = {
  name: "processes",
  check({ machines, monitors, server }) {
    return [
      ...differences(["a monitor", Object.keys(monitors)], ["a record", machines.map(({ key }) => key)]),
      ...(server.workers.length === 1 ? [] : [`${server.workers.length} egress workers run, 1 is configured`]),
      ...server.strayWorkers.map((pid) => `egress worker ${pid} outlived its server`),
    ];
  },
};
