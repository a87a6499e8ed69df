import { smuggling } from "./tables/smuggling.ts";
import { testTable } from "./run.ts";

testTable(smuggling);
