/** The attacks that can share a platform: the hosts and addresses of all tables exist side by side; each table has a sandbox. */
import { afterlifeTests } from "./afterlife.ts";
import { testTables } from "./run.ts";
import { secretTests } from "./secret-tests.ts";
import { tables } from "./tables/index.ts";
import { secrets } from "./tables/secrets.ts";

const shared = tables.filter(
  ({ zone, operator, long }) => zone === undefined && operator === undefined && long !== true,
);
const field = testTables(shared, new Map([[secrets, secretTests]]));
afterlifeTests(field);
