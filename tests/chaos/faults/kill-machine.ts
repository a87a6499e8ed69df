import { machineFiles } from "../world/machines.ts";
import { always, type Fault } from "./fault.ts";

/** Kills the monitor of any machine, also one of the pool or one that is being started. */
export const killMachine: Fault = {
  name: "kill-machine",
  touches: ["machine"],
  hold: [0, 500],
  available: always,
  async inject({ home, history }, random) {
    const alive = machineFiles(home).filter((machine) => machine.alive);
    if (alive.length === 0) return { detail: "no machine runs", heal: () => Promise.resolve() };
    const { key, machineId, pid } = random.pick(alive);
    if (machineId !== undefined) history.add({ type: "must-end", id: machineId, why: "its machine was killed" });
    process.kill(pid!, "SIGKILL");
    return { detail: `${machineId ?? "a machine without owner"} (${key})`, heal: () => Promise.resolve() };
  },
};
