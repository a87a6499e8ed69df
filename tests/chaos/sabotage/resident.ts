/** A client within the driver's own process, whose calls are part of the history as those of client processes are. */
import type { Sandbox } from "@deno/sandbox";
import type { Call } from "../traffic/messages.ts";
import { perform } from "../traffic/operations.ts";
import type { World } from "../world/world.ts";

export class Resident {
  readonly #world: World;
  readonly #connections = new Map<string, { id: string; sandbox: Sandbox | undefined }>();
  #calls = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** @returns an id or a host name, as `perform` does. @throws what the client throws */
  async call(call: Call): Promise<string | undefined> {
    const { history } = this.#world;
    const n = `resident-${++this.#calls}`;
    history.add({ type: "call", client: "resident", n, call });
    try {
      const value = await perform(call, {
        get: (label) => this.#connections.get(label),
        add: (label, sandbox) => void this.#connections.set(label, { id: sandbox.id, sandbox }),
      });
      history.add({ type: "ok", client: "resident", n, ...(value !== undefined && { value }) });
      return value;
    } catch (error) {
      history.add({ type: "failed", client: "resident", n, error: String(error), hung: false });
      throw error;
    }
  }

  /** @throws Error when there is no such sandbox */
  sandbox(label: string): Sandbox {
    const sandbox = this.#connections.get(label)?.sandbox;
    if (sandbox === undefined) throw new Error(`There is no connection to ${label}.`);
    return sandbox;
  }
}
