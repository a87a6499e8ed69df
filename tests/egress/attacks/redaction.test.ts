import { redaction } from "./tables/redaction.ts";
import { testTable } from "./run.ts";

testTable(redaction);
