import { http2 } from "./tables/http2.ts";
import { testTable } from "./run.ts";

testTable(http2);
