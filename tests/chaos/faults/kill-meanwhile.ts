/** A sandbox that is killed while a fault holds: its machine has to end, whatever the store can take at that moment. */
import { setTimeout as sleep } from "node:timers/promises";
import { until, WireClient } from "@caisson/testing";
import { machineFiles } from "../world/machines.ts";
import type { World } from "../world/world.ts";

/** Milliseconds. A server that another fault has stopped must not stay so for long. */
const patience = 5_000;
/** Milliseconds. The guest gets a few seconds to write what it has. */
const limit = 10_000;

export interface Victim {
  /** Asks for its end. @returns what is wrong, nothing when the machine ended */
  kill(): Promise<readonly string[]>;
}

/** Created before the fault. Undefined when the organisation is at its limit, or when another fault holds that keeps it from coming. */
export async function victim(world: World): Promise<Victim | undefined> {
  const opening = WireClient.open({ env: world.env, config: { memory_mb: 768, volumes: [] } }).catch(() => undefined);
  const client = await Promise.race([opening, sleep(patience)]);
  if (client === undefined) {
    void opening.then((late) => late?.socket.terminate());
    return undefined;
  }
  const id = client.sandboxId;
  return {
    async kill() {
      const { DENO_DEPLOY_ENDPOINT: endpoint, DENO_DEPLOY_TOKEN: token } = world.env;
      const answer = fetch(`${endpoint}/api/v3/sandbox/${id}`, {
        method: "DELETE",
        headers: { authorization: `Bearer ${token}` },
        signal: AbortSignal.timeout(limit),
      }).then(
        (response) => `status ${response.status}`,
        (error: unknown) => String(error),
      );
      try {
        await until(
          limit,
          "its end",
          () => !machineFiles(world.home).some(({ machineId, alive }) => machineId === id && alive),
        );
        return [];
      } catch {
        return [`sandbox ${id} was to be killed, and its machine runs on (${await answer})`];
      } finally {
        client.socket.terminate();
      }
    },
  };
}
