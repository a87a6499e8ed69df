import { setTimeout as sleep } from "node:timers/promises";
import { always, type Fault } from "./fault.ts";

export const killServer: Fault = {
  name: "kill-server",
  touches: ["service", "start", "server", "worker", "clock"],
  hold: [0, 500],
  available: always,
  async inject(world) {
    const { pid } = world.server;
    await world.killServer();
    return { detail: `process ${pid}`, heal: () => world.ensureServer() };
  },
};

/** Kills it once more while it starts: in the middle of migrations, adoption, or the first machines. */
export const killServerStarting: Fault = {
  name: "kill-server-starting",
  touches: ["service", "start", "server", "worker", "clock"],
  hold: [0, 200],
  available: always,
  async inject(world, random) {
    await world.killServer();
    world.server.spawn();
    const after = random.int(150, 2500);
    await sleep(after);
    await world.server.kill();
    return { detail: `again ${after} ms after its start`, heal: () => world.ensureServer() };
  },
};
