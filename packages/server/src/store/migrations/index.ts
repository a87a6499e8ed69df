/** All migrations in order. A released migration never changes; a new table gets a new file and a line here. */
import type { Migration } from "kysely";
import { up as initial } from "./001-initial.ts";
import { up as volumes } from "./002-volumes.ts";
import { up as previews } from "./003-previews.ts";

export const migrations: Record<string, Migration> = {
  "001-initial": { up: initial },
  "002-volumes": { up: volumes },
  "003-previews": { up: previews },
};
