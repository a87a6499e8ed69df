/** What a sealed value belongs to: its row and its name, so that values cannot be swapped between variables. */
import type { EnvVarRow } from "../tables.ts";

export function sealContext({ id, key }: Pick<EnvVarRow, "id" | "key">): string {
  return JSON.stringify(["env-var", id, key]);
}
