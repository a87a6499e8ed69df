import { noOtherWay } from "./tables/no-other-way.ts";
import { testTable } from "./run.ts";

testTable(noOtherWay);
