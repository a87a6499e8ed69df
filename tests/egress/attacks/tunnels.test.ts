import { tunnels } from "./tables/tunnels.ts";
import { testTable } from "./run.ts";

testTable(tunnels);
