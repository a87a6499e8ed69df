import { test } from "node:test";
import { rebinding } from "./tables/rebinding.ts";
import { testTables } from "./run.ts";

// The platform must take the test's name server for the host's, which only root can arrange.
if (process.getuid?.() === 0) testTables([rebinding]);
else
  test(rebinding.title, { skip: "needs root, to give the platform a name server of the attacker's" }, () => undefined);
