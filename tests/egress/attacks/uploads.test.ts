import { uploads } from "./tables/uploads.ts";
import { testTables } from "./run.ts";

testTables([uploads]);
