import { always, type Fault } from "./fault.ts";

export const killClient: Fault = {
  name: "kill-client",
  touches: ["client"],
  hold: [0, 300],
  available: always,
  async inject({ crew, env }, random) {
    const name = random.pick(crew.names);
    await crew.replace(name, String(random.next()), { ...env });
    return { detail: name, heal: () => Promise.resolve() };
  },
};
