import { uploads } from "./tables/uploads.ts";
import { testTable } from "./run.ts";

testTable(uploads);
