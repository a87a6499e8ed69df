/** The attacks that one platform can stand for: hosts and addresses of all of them beside each other, a sandbox for each table. */
import { testTables } from "./run.ts";
import { secretTests } from "./secret-tests.ts";
import { tables } from "./tables/index.ts";
import { secrets } from "./tables/secrets.ts";

const shared = tables.filter(({ zone, operator }) => zone === undefined && operator === undefined);
testTables(shared, new Map([[secrets, secretTests]]));
