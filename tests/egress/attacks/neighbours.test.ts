import { neighbours } from "./tables/neighbours.ts";
import { testTable } from "./run.ts";

testTable(neighbours);
