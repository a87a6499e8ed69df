import { names } from "./tables/names.ts";
import { testTable } from "./run.ts";

testTable(names);
