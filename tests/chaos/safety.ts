/** What must hold at every moment, also while a fault is there: looked at again and again during the first phase of a round. */
import type { Fault } from "./faults/fault.ts";
import { mustRun } from "./model/model.ts";
import { machineFiles } from "./world/machines.ts";
import type { World } from "./world/world.ts";

/** Milliseconds between two looks. */
const interval = 200;
/** Milliseconds that an answer of `/healthz` may take on a host that is short of processors. */
const slowest = 5_000;

export class Safety {
  readonly #problems = new Set<string>();
  readonly #world: World;
  readonly #timer: NodeJS.Timeout;
  readonly #served: boolean;
  #asking: Promise<void> | undefined;

  constructor(world: World, faults: readonly Fault[]) {
    this.#world = world;
    this.#served = !faults.some(({ touches }) => touches.includes("service"));
    this.#timer = setInterval(() => this.#look(), interval);
  }

  #look(): void {
    const { server, home, history } = this.#world;
    for (const how of server.unexpected) this.#problems.add(`the server ended by itself: ${how}`);
    const claimed = machineFiles(home).filter(({ phase }) => phase === "claimed");
    const dead = new Set(claimed.filter(({ alive }) => !alive).map(({ machineId }) => machineId));
    for (const sandbox of history.model.sandboxes.values())
      if (sandbox.id !== undefined && dead.has(sandbox.id) && mustRun(sandbox))
        this.#problems.add(`the machine of ${sandbox.label} (${sandbox.id}) ended, and nothing should have ended it`);
    if (this.#served) this.#asking ??= this.#ask();
  }

  /** No fault may keep the server from answering others. */
  async #ask(): Promise<void> {
    const start = performance.now();
    const url = `http://127.0.0.1:${this.#world.ports.api}/healthz`;
    const error = await fetch(url, { signal: AbortSignal.timeout(2 * slowest) }).then(
      () => undefined,
      (thrown: unknown) => String(thrown),
    );
    const took = Math.round(performance.now() - start);
    if (error !== undefined) this.#problems.add(`/healthz does not answer: ${error}`);
    else if (took > slowest) this.#problems.add(`/healthz answered after ${took} ms`);
    this.#asking = undefined;
  }

  /** Waits for the last answer. */
  async stop(): Promise<readonly string[]> {
    clearInterval(this.#timer);
    this.#look();
    await this.#asking;
    return [...this.#problems].map((problem) => `safety: ${problem}`);
  }
}
