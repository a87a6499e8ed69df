/** A sandbox that is killed while a fault holds: its machine has to end, whatever the store can take at that moment. */
import { until, WireClient } from "@caisson/testing";
import { machineFiles } from "../world/machines.ts";
import type { World } from "../world/world.ts";

/** Milliseconds. The guest gets a few seconds to write what it has. */
const limit = 10_000;

export interface Victim {
  /** Asks for its end. @returns what is wrong, nothing when the machine ended */
  kill(): Promise<readonly string[]>;
}

/** Created before the fault. Undefined when the organisation is at its limit. */
export async function victim(world: World): Promise<Victim | undefined> {
  const client = await WireClient.open({ env: world.env, config: { memory_mb: 768, volumes: [] } }).catch(
    () => undefined,
  );
  if (client === undefined) return undefined;
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
