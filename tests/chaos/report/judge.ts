/** Judges a failing round again: `node tests/chaos/report/judge.ts <folder>`. Exit status 1 when something is wrong. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readHistory } from "../model/history.ts";
import { Model } from "../model/model.ts";
import { judge } from "../validators/index.ts";
import type { Observation } from "../validators/observation.ts";
import { historyFile, observationFile } from "./folder.ts";

const [folder = "."] = process.argv.slice(2);
const observation = JSON.parse(readFileSync(join(folder, observationFile), "utf8")) as Observation;
const problems = judge(observation, Model.of(readHistory(join(folder, historyFile))));
console.log(problems.length === 0 ? "Nothing is wrong." : problems.join("\n"));
process.exitCode = problems.length === 0 ? 0 : 1;
