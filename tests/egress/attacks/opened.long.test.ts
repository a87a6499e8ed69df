/** Attacks on what the way out permits beyond requests: connections that are made first, hosts that are passed through. */
import { testTables } from "./run.ts";
import { tables } from "./tables/index.ts";

testTables(tables.filter(({ long }) => long === true));
