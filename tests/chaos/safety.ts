/** What must hold at every moment, also while a fault is there: looked at again and again during the first phase of a round. */
import { machineFiles } from "./world/machines.ts";
import type { World } from "./world/world.ts";

export class Safety {
  readonly problems = new Set<string>();
  readonly #world: World;
  readonly #timer: NodeJS.Timeout;

  constructor(world: World) {
    this.#world = world;
    this.#timer = setInterval(() => this.#look(), 200);
  }

  #look(): void {
    const { server, home, history } = this.#world;
    for (const how of server.unexpected) this.problems.add(`the server ended by itself: ${how}`);
    const dead = new Set(
      machineFiles(home).flatMap(({ phase, alive, machineId }) =>
        phase === "claimed" && !alive ? (machineId ?? []) : [],
      ),
    );
    for (const { id, label, belief, mustEnd } of history.model.sandboxes.values())
      if (id !== undefined && dead.has(id) && belief === "present" && mustEnd === undefined)
        this.problems.add(`the machine of ${label} (${id}) ended, and nothing should have ended it`);
  }

  stop(): readonly string[] {
    clearInterval(this.#timer);
    this.#look();
    return [...this.problems].map((problem) => `safety: ${problem}`);
  }
}
