import { writeFileSync } from "node:fs";
import type { Fault } from "./fault.ts";

/** Sets the wall clock of the server, and of nothing else, by up to an hour either way. */
export const shiftClock: Fault = {
  name: "shift-clock",
  touches: ["clock"],
  hold: [1500, 3000],
  available: ({ clockFile }) => (clockFile === undefined ? "libfaketime is not installed" : undefined),
  async inject({ clockFile }, random) {
    const seconds = random.int(60, 3600) * (random.chance(0.5) ? 1 : -1);
    const set = (offset: number) => writeFileSync(clockFile!, `${offset < 0 ? "" : "+"}${offset}\n`);
    set(seconds);
    return { detail: `${seconds} s`, heal: () => Promise.resolve(set(0)) };
  },
};
