import { always, type Fault } from "./fault.ts";

/** The stop before an upgrade: the server ends sessions and leaves the other sandboxes to the next one. */
export const leaveServer: Fault = {
  name: "leave-server",
  touches: ["service", "start", "server", "worker", "clock"],
  hold: [0, 500],
  available: always,
  async inject(world) {
    const how = await world.server.leave(30_000);
    world.history.add({ type: "server-killed", orderly: true });
    return {
      detail: how,
      problems: how === "it ended with status 0" ? [] : [`SIGUSR2: ${how}`],
      heal: () => world.ensureServer(),
    };
  },
};
