import { test } from "node:test";
import { attackTools } from "./header-rounds.ts";

test("headers that change while the disk tools work: 200 moments", { timeout: 600_000 }, () => attackTools(200));
