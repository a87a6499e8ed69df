/** Processes that the kernel does not run for a while: SIGSTOP, and SIGCONT to mend it. */
import { egressWorkers, machineFiles } from "../world/machines.ts";
import type { World } from "../world/world.ts";
import type { Random } from "../random.ts";
import { always, type Fault, type Injected, type Target } from "./fault.ts";

type Choose = (world: World, random: Random) => { readonly pid: number; readonly detail: string } | undefined;

function stopping(target: Target, longest: number, choose: Choose, more: readonly Target[] = []): Fault {
  return {
    name: `stop-${target}`,
    touches: [target, ...more],
    hold: [200, longest],
    available: always,
    async inject(world, random): Promise<Injected> {
      const chosen = choose(world, random);
      if (chosen === undefined) return { detail: "nothing to stop", heal: () => Promise.resolve() };
      process.kill(chosen.pid, "SIGSTOP");
      return {
        detail: chosen.detail,
        async heal() {
          try {
            process.kill(chosen.pid, "SIGCONT");
          } catch {
            // Something else ended it in the meantime.
          }
        },
      };
    },
  };
}

export const stopServer = stopping(
  "server",
  3000,
  ({ server }) => ({ pid: server.pid, detail: `process ${server.pid}` }),
  ["service"],
);

export const stopWorker = stopping("worker", 2000, ({ server }, random) => {
  const { pid } = random.pick(egressWorkers(server.pid));
  return { pid, detail: `egress worker ${pid}` };
});

export const stopMachine = stopping("machine", 3000, ({ home }, random) => {
  const alive = machineFiles(home).filter((machine) => machine.alive && machine.phase === "claimed");
  if (alive.length === 0) return undefined;
  const { pid, machineId } = random.pick(alive);
  return { pid: pid!, detail: machineId ?? "" };
});

export const stopClient = stopping("client", 2000, ({ crew }, random) => {
  const name = random.pick(crew.names);
  return { pid: crew.pid(name), detail: name };
});
