/** Runs an area in one of the columns as a process of its own and reads its results. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { fullVariable, type ClientEnvironment } from "@caisson/testing";
import type { Area, Column } from "../rows.ts";
import { pythonEnvironment } from "./python-environment.ts";
import type { ScenarioResult } from "./scenario.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
const repository = fileURLToPath(new URL("../../../", import.meta.url));

export interface AreaRun {
  readonly results: readonly ScenarioResult[];
  /** How the process ended, when not well. */
  readonly failure?: string;
  readonly milliseconds: number;
}

/** Milliseconds for one area in one column. In a full run its first editor may have to build an image. */
const usualLimit = process.env[fullVariable] === "1" ? 960_000 : 240_000;

export async function runArea(
  area: Area,
  column: Column,
  env: ClientEnvironment,
  limit = usualLimit,
): Promise<AreaRun> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-conformance-"));
  const results = join(directory, "results.jsonl");
  const start = performance.now();
  try {
    const [command, ...args] = await commandLine(area, column, results);
    const failure = await run(
      command ?? "",
      args,
      { ...process.env, ...env, NO_COLOR: "1", PYTHONDONTWRITEBYTECODE: "1", DENO_NO_UPDATE_CHECK: "1" },
      limit,
    );
    const lines = await readFile(results, "utf8").catch(() => "");
    return {
      results: lines
        .split("\n")
        .filter(Boolean)
        .map((line) => JSON.parse(line) as ScenarioResult),
      ...(failure === undefined ? {} : { failure }),
      milliseconds: performance.now() - start,
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function commandLine(area: Area, column: Column, results: string): Promise<string[]> {
  const [client = "", kind = ""] = column.split("-");
  if (client.startsWith("py"))
    return [
      await pythonEnvironment(client === "py16" ? "0.16.0" : "0.10.0"),
      join(here, "run_area.py"),
      area,
      kind,
      results,
    ];
  const program = [join(here, "run-area.ts"), area, results];
  if (column === "js-node") return [process.execPath, ...program];
  // The same package files as in Node: Deno takes them from node_modules and asks no registry.
  const options = ["--quiet", "--allow-all", "--no-check", "--no-lock", "--cached-only", "--node-modules-dir=manual"];
  return [join(repository, "node_modules/.bin/deno"), "run", ...options, ...program];
}

/** Undefined when the process ended with status 0. */
function run(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  limit: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: repository, env, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8");
      stream.on("data", (chunk: string) => (output = (output + chunk).slice(-20_000)));
    }
    const timer = setTimeout(() => {
      output += `\n(ended after ${limit} ms)`;
      child.kill("SIGKILL");
    }, limit);
    child.once("error", (error) => {
      clearTimeout(timer);
      resolve(String(error));
    });
    child.once("close", (code, signal) => {
      clearTimeout(timer);
      resolve(code === 0 ? undefined : `ended with ${signal ?? `status ${code}`}; its output:\n${output.slice(-4000)}`);
    });
  });
}
