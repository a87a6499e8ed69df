import { once } from "node:events";
import { createServer } from "node:net";
import { always, type Fault } from "./fault.ts";

/** After the server was killed, another program has its port: the start fails, and must not end what survived. */
export const takePort: Fault = {
  name: "take-port",
  touches: ["service", "start", "server", "worker", "clock"],
  hold: [0, 200],
  available: always,
  async inject(world, random) {
    await world.killServer();
    const which = random.pick(["api", "gateway"] as const);
    const other = createServer((socket) => socket.destroy()).listen(world.ports[which], "127.0.0.1");
    await once(other, "listening");
    world.server.spawn();
    const how = await world.server.refused(30_000);
    return {
      detail: `the port of the ${which}; ${how}`,
      ...(how === "it ended with status 1"
        ? {}
        : { problems: [`a start without its port did not fail as it should: ${how}`] }),
      async heal() {
        other.close();
        await world.ensureServer();
      },
    };
  },
};
