/**
 * `npm test`: every check and every test, in the order of what they cost. The last line is `N passed, N failed`.
 *
 *   checks           scripts/check.ts: format, lint, types, dependency direction, ...
 *   agent            `go test` in agent/
 *   unit tests       packages/ and scripts/: no sandbox
 *   fuzz targets     each for about a second, with the same inputs every time; `npm run fuzz` is for long
 *   sandbox tests    tests/: one platform for all files, real microVMs
 *
 * `npm test -- --only unit` (or checks, agent, fuzz, sandbox) runs one part; further words filter test files by path.
 * `npm test -- --full` also runs what takes long: all columns of the conformance table, and `*.long.test.ts`.
 */
import { spawn } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { join, relative } from "node:path";
import process from "node:process";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { parseArgs } from "node:util";
import { fullVariable, holdings, sharedHomeVariable, sharedPidVariable, startPlatform } from "@caisson/testing";

const root = join(import.meta.dirname, "..");
// Each test file is a process that reads much of the code anew.
process.env["NODE_COMPILE_CACHE"] ??= join(root, "node_modules/.cache/compiled");
const { values, positionals } = parseArgs({
  options: { only: { type: "string", multiple: true }, full: { type: "boolean", default: false } },
  allowPositionals: true,
});

interface Count {
  passed: number;
  failed: number;
}

/** Names of what failed, repeated at the end: the details are far above by then. */
const failures: string[] = [];

function wanted(part: string): boolean {
  return values.only === undefined || values.only.includes(part);
}

function files(...patterns: string[]): string[] {
  const found = globSync(patterns, { cwd: root, exclude: (path) => path.includes("node_modules") })
    .filter((file) => values.full || !file.endsWith(".long.test.ts"))
    .toSorted();
  return found.filter((file) => positionals.length === 0 || positionals.some((word) => file.includes(word)));
}

/** Runs a program, shows its output, and hands it line by line to `read`. */
function program(
  command: string,
  args: readonly string[],
  directory: string,
  read: (line: string) => void,
  show = true,
): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
    let rest = "";
    child.stdout.setEncoding("utf8");
    child.stdout.on("data", (text: string) => {
      if (show) process.stdout.write(text);
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      lines.forEach(read);
    });
    child.once("error", (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(127);
    });
    child.once("close", (code) => {
      if (rest !== "") read(rest);
      resolve(code ?? 1);
    });
  });
}

async function checks(): Promise<Count> {
  const script = join(root, "scripts/check.ts");
  if (!existsSync(script)) return { passed: 0, failed: 0 };
  const count = { passed: 0, failed: 0 };
  const code = await program(process.execPath, [script], root, (line) => {
    const match = /^(\d+) passed, (\d+) failed$/.exec(line);
    if (match !== null) Object.assign(count, { passed: Number(match[1]), failed: Number(match[2]) });
    if (line.startsWith("FAILED ")) failures.push(`check: ${line.slice(7)}`);
  });
  if (code !== 0 && count.failed === 0) {
    failures.push("checks: ended before the end");
    count.failed = 1;
  }
  return count;
}

/** The targets in TypeScript as tests; those in Go, which `go test` runs with their seeds alone, by the runner. */
async function fuzzTargets(): Promise<Count> {
  const count = await nodeTests(files("packages/**/*.fuzz.ts"), 2, 2 * 60_000);
  const runner = [join(root, "scripts/fuzz.ts"), "--only", "agent", "--seconds", "10", ...positionals];
  let ended = false;
  await program(process.execPath, runner, root, (line) => {
    const match = /^(\d+) passed, (\d+) failed$/.exec(line);
    if (match !== null) {
      ended = true;
      count.passed += Number(match[1]);
      count.failed += Number(match[2]);
    }
    if (line.startsWith("FAILED ")) failures.push(`fuzz: ${line.slice(7)}`);
  });
  if (!ended) {
    count.failed++;
    failures.push("fuzz: the runner ended before the end");
  }
  return count;
}

/** Counts tests, and packages that do not even build. */
async function agent(): Promise<Count> {
  const count = { passed: 0, failed: 0 };
  const output = new Map<string, string>();
  const code = await program(
    "go",
    ["test", "-json", "./..."],
    join(root, "agent"),
    (line) => {
      const event = parseGoEvent(line);
      if (event === undefined) return;
      const name = `${event.Package ?? event.ImportPath ?? ""} ${event.Test ?? ""}`.trim();
      if (event.Output !== undefined) output.set(name, (output.get(name) ?? "") + event.Output);
      if (event.Action === "pass" && event.Test !== undefined) count.passed++;
      if ((event.Action === "fail" && event.Test !== undefined) || event.Action === "build-fail") {
        count.failed++;
        failures.push(`agent: ${name}`);
        console.log(output.get(name));
      }
      if (event.Test === undefined && (event.Action === "pass" || event.Action === "fail"))
        console.log(`${event.Action} ${event.Package}`);
    },
    false,
  );
  if (code !== 0 && count.failed === 0) {
    count.failed = 1;
    failures.push(`agent: go test ended with status ${code}`);
    console.log([...output.values()].join(""));
  }
  return count;
}

interface GoEvent {
  readonly Action: string;
  readonly Package?: string;
  readonly ImportPath?: string;
  readonly Test?: string;
  readonly Output?: string;
}

function parseGoEvent(line: string): GoEvent | undefined {
  try {
    return JSON.parse(line) as GoEvent;
  } catch {
    return undefined;
  }
}

/** Why a test failed, short: enough to see the kind of failure where only the end of the output was kept. */
function firstLines(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  const lines = cause.message.trim().split("\n").slice(0, 12);
  return lines.map((line) => `\n      ${line.slice(0, 200)}`).join("");
}

/** @param error of the `test:fail` event of a file, which Node gives these two properties */
function endOfProcess(error: Error & { readonly exitCode?: unknown; readonly signal?: unknown }): string {
  const { exitCode, signal } = error;
  return typeof signal === "string"
    ? `its process was ended by ${signal}`
    : `its process ended with ${String(exitCode)}`;
}

/** How long each file took, milliseconds. */
const durations = new Map<string, number>();

/**
 * Counts by file, so that nothing is missing unseen: a process that exits too early loses the end of its report. Such a file runs again.
 * @param limit for one file, milliseconds
 */
async function nodeTests(paths: readonly string[], concurrency: number, limit: number, again = true): Promise<Count> {
  const count = { passed: 0, failed: 0 };
  if (paths.length === 0) return count;
  // A test that failed leaves connections open; they must not hold up the rest.
  const execArgv = ["--test-force-exit", "--import", join(import.meta.dirname, "whole-reports.ts")];
  const files = paths.map((path) => join(root, path));
  const stream = run({ files, concurrency, timeout: limit, execArgv });
  const summarised = new Set<string>();
  /** By file. Hooks of suites that fail are in it, and are no tests that failed. */
  const failed = new Map<string | undefined, number>();
  /** By file: what went wrong after its tests had ended. */
  const late = new Map<string | undefined, string>();
  stream.on("test:diagnostic", ({ file, message }) => {
    if (file !== undefined && message.includes("asynchronous activity")) late.set(file, `\n      ${message}`);
  });
  stream.on("test:fail", (event) => {
    if (event.todo !== undefined) return;
    const { file } = event;
    const { error } = event.details;
    failed.set(file, (failed.get(file) ?? 0) + 1);
    const place = file === undefined ? "" : `${relative(root, file)}: `;
    // What Node says of a file whose tests passed and whose process failed, for example by a rejection that came after them.
    if (error.message === "test failed")
      failures.push(`${place}${endOfProcess(error)}, although no test in it failed${late.get(file) ?? ""}`);
    else failures.push(`${place}${event.name}${firstLines(error)}`);
  });
  const done = new Promise<void>((resolve) => {
    stream.on("test:summary", ({ file, counts, duration_ms: took }) => {
      if (file === undefined) return resolve();
      durations.set(relative(root, file), took);
      summarised.add(file);
      const wrong = counts.tests - counts.passed - counts.skipped - counts.todo;
      count.passed += counts.passed;
      count.failed += wrong;
      if (wrong > 0) failed.delete(file);
    });
    stream.once("end", resolve);
  });
  stream.compose(new spec()).pipe(process.stdout, { end: false });
  await done;
  // What no summary has counted.
  for (const number of failed.values()) count.failed += number;
  const cut = paths.filter((path) => !summarised.has(join(root, path)) && !failed.has(join(root, path)));
  if (cut.length === 0) return count;
  if (!again) {
    failures.push(...cut.map((path) => `${path}: the end of its report is missing`));
    return { passed: count.passed, failed: count.failed + cut.length };
  }
  console.log(`The ends of reports are missing; these files run again: ${cut.join(", ")}`);
  const second = await nodeTests(cut, concurrency, limit, false);
  return { passed: count.passed + second.passed, failed: count.failed + second.failed };
}

/** Files of unit tests at a time. Most of their time they wait for sockets and processes. */
const unitFiles = 4;

/** Beginnings of paths in `tests/`. They count processes, memory or time, or end things: nothing runs beside them. */
const alone = [
  ...["chaos/", "endings/", "isolation/", "lifecycle/sessions", "lifecycle/restart", "egress/containment"],
  ...["clock", "flood", "flush", "jail", "memory", "pressure"].map((name) => `engine/${name}`),
];
/** The longest: one after the other they take about as long as all others do in two rows. */
const longest = ["conformance/", "egress/attacks/tables"];

/**
 * All that are not alone may run beside others: they have a platform of their own or use the shared one for nothing but their own
 * sandboxes, and measure no time.
 */
function laneOf(path: string): "alone" | "longest" | "others" {
  const within = (beginnings: readonly string[]) =>
    beginnings.some((beginning) => path.startsWith(`tests/${beginning}`));
  return within(alone) ? "alone" : within(longest) ? "longest" : "others";
}

async function sandboxTests(): Promise<Count> {
  const paths = files("tests/**/*.test.ts");
  if (paths.length === 0) return { passed: 0, failed: 0 };
  console.log("Starting the platform that all sandbox tests share ...");
  const platform = await startPlatform({ readyWithin: 600_000 });
  process.env[sharedHomeVariable] = platform.home;
  process.env[sharedPidVariable] = String(platform.pid);
  if (values.full) process.env[fullVariable] = "1";
  const lane = (name: ReturnType<typeof laneOf>, concurrency = 1) =>
    nodeTests(
      paths.filter((path) => laneOf(path) === name),
      concurrency,
      20 * 60_000,
    );
  const counts = await Promise.all([lane("longest"), lane("others", 2)]);
  counts.push(await lane("alone"));
  const count = {
    passed: counts.reduce((sum, { passed }) => sum + passed, 0),
    failed: counts.reduce((sum, { failed }) => sum + failed, 0),
  };
  const end = await platform.stop().catch((error: unknown) => error as Error);
  const left = holdings(platform.home);
  const clean =
    !(end instanceof Error) &&
    end.code === 0 &&
    Object.values(left).every((found: readonly string[]) => found.length === 0);
  if (clean) count.passed++;
  else {
    count.failed++;
    failures.push("the shared platform did not end well");
    console.log(end, left, platform.output().split("\n").slice(-60).join("\n"));
  }
  return count;
}

const parts: readonly (readonly [string, string, () => Promise<Count>])[] = [
  ["checks", "Checks", checks],
  ["agent", "Guest agent", agent],
  [
    "unit",
    "Unit tests",
    () => nodeTests(files("packages/**/*.test.ts", "scripts/**/*.test.ts"), unitFiles, 5 * 60_000),
  ],
  ["fuzz", "Fuzz targets, shortly", fuzzTargets],
  ["sandbox", "Sandbox tests", sandboxTests],
];

const total: Count = { passed: 0, failed: 0 };
for (const [name, title, work] of parts) {
  if (!wanted(name)) continue;
  console.log(`\n=== ${title} ===`);
  const start = performance.now();
  const count = await work().catch((error: unknown): Count => {
    console.error(error);
    failures.push(`${title}: could not run`);
    return { passed: 0, failed: 1 };
  });
  total.passed += count.passed;
  total.failed += count.failed;
  console.log(
    `${title}: ${count.passed} passed, ${count.failed} failed, ${((performance.now() - start) / 1000).toFixed(0)} s`,
  );
}
if (durations.size > 0) {
  console.log("\nTime per file, seconds:");
  for (const [file, took] of [...durations].toSorted(([, a], [, b]) => b - a))
    if (took >= 1000) console.log(`${(took / 1000).toFixed(0).padStart(5)}  ${file}`);
}
if (failures.length > 0) console.log(`\nFailed:\n${failures.map((failure) => `  ${failure}`).join("\n")}`);
console.log(`\n${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);
