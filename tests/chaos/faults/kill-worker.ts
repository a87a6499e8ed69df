import { egressWorkers } from "../world/machines.ts";
import { always, type Fault } from "./fault.ts";

export const killWorker: Fault = {
  name: "kill-worker",
  touches: ["worker"],
  hold: [0, 500],
  available: always,
  async inject({ server }, random) {
    const { pid } = random.pick(egressWorkers(server.pid));
    process.kill(pid, "SIGKILL");
    return { detail: `egress worker ${pid}`, heal: () => Promise.resolve() };
  },
};
