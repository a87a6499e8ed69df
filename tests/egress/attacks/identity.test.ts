import { identity } from "./tables/identity.ts";
import { testTable } from "./run.ts";

testTable(identity);
