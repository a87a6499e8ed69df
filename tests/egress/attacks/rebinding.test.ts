import { test } from "node:test";
import { rebinding } from "./tables/rebinding.ts";
import { testTable } from "./run.ts";

// The platform must take the test's name server for the host's, which only root can arrange.
if (process.getuid?.() === 0) testTable(rebinding);
else
  test(rebinding.title, { skip: "needs root, to give the platform a name server of the attacker's" }, () => undefined);
