/** Runs one area with the JavaScript client, in Node or in Deno: `run-area.ts <area> <results file>`. One JSON line a scenario. */
import { appendFileSync } from "node:fs";
import process from "node:process";
import { Sandbox } from "@deno/sandbox";
import { within, type Context, type Scenario, type ScenarioResult } from "./scenario.ts";

const [area, resultsFile] = process.argv.slice(2);
if (area === undefined || resultsFile === undefined) throw new Error("usage: run-area.ts <area> <results file>");
const { scenarios, shared = true } = (await import(new URL(`../areas/${area}.ts`, import.meta.url).href)) as {
  scenarios: readonly Scenario[];
  /** False: the area makes its own sandboxes. */
  shared?: boolean;
};

// Areas are not about creation: where the host is busy beside the test, a creation may take longer than the client waits, and is tried again.
const create = () => Sandbox.create({ timeout: "10m" });
const sandbox = shared ? await create().catch(() => create()) : undefined;
for (const [index, scenario] of scenarios.entries()) {
  const start = performance.now();
  let error: string | undefined;
  try {
    const directory = `/tmp/scenario-${index}`;
    await sandbox?.fs.mkdir(directory);
    await within(scenario.limit ?? 60_000, scenario.title, scenario.run({ sandbox, directory } as Context));
  } catch (thrown) {
    error = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  }
  const result: ScenarioResult = {
    row: scenario.row,
    title: scenario.title,
    milliseconds: Math.round(performance.now() - start),
    ...(error === undefined ? {} : { error }),
  };
  appendFileSync(resultsFile, `${JSON.stringify(result)}\n`);
}
await sandbox?.kill();
// A scenario may leave a process running or a socket half closed; what must end is checked by scenarios, not by this exit.
process.exit(0);
