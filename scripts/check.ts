/** Every check that needs no running sandbox: formatting, lint, types, direction of dependencies, unused code, Go. */
import { spawn } from "node:child_process";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const bin = (name: string) => join(root, "node_modules/.bin", name);
const fix = process.argv.includes("--fix");

interface Check {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  readonly directory?: string;
  /** The tool reports findings on standard output and exits 0. */
  readonly silentWhenGood?: boolean;
  readonly remedy: string;
}

const checks: readonly Check[] = [
  {
    name: "format",
    command: [bin("oxfmt"), ...(fix ? [] : ["--check"]), "packages", "scripts", "tests", "bench"],
    remedy: "npm run check -- --fix",
  },
  {
    name: "lint",
    command: [bin("oxlint"), "--type-aware", "--deny-warnings", ...(fix ? ["--fix"] : [])],
    remedy: "mend the lines named above",
  },
  { name: "types", command: [bin("tsc"), "-p", "."], remedy: "mend the lines named above" },
  {
    name: "dependency direction",
    command: [bin("depcruise"), "--config", ".dependency-cruiser.json", "packages", "tests", "bench", "scripts"],
    remedy: "ARCHITECTURE.md says which package may import which",
  },
  {
    name: "folders without circles",
    command: [bin("depcruise"), "--config", ".dependency-cruiser.folders.json", "packages"],
    remedy: "move what both folders need below them, or join them",
  },
  {
    name: "generated documents",
    command: [process.execPath, "scripts/configuration-doc.ts", "--check"],
    remedy: "npm run generate",
  },
  { name: "unused code", command: [bin("knip"), "--no-config-hints"], remedy: "remove what nothing uses" },
  {
    name: "go format",
    command: ["sh", "-c", fix ? "gofmt -w $(git ls-files '*.go')" : "gofmt -l $(git ls-files '*.go')"],
    directory: "agent",
    silentWhenGood: true,
    remedy: "npm run check -- --fix",
  },
  { name: "go vet", command: ["go", "vet", "./..."], directory: "agent", remedy: "mend the lines named above" },
];

/** Runs a check and prints its result. @returns whether it passed */
async function passes(check: Check): Promise<boolean> {
  const started = performance.now();
  const [command, ...args] = check.command;
  const { status, stdout, stderr } = await output(command, args, join(root, check.directory ?? "."));
  const good = status === 0 && !(check.silentWhenGood && stdout.trim() !== "");
  console.log(`${good ? "ok    " : "FAILED"} ${check.name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  if (!good) console.log(`${`${stdout}${stderr}`.trim()}\n       -> ${check.remedy}`);
  return good;
}

interface Output {
  /** Null when a signal ended it or it could not be started. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function output(command: string, args: readonly string[], cwd: string): Promise<Output> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.once("error", (error) => resolve({ status: null, stdout, stderr: error.message }));
    child.once("close", (status) => resolve({ status, stdout, stderr }));
  });
}

// Most of them use one processor. Those that change files must not run at the same time.
const waiting = [...checks];
let failed = 0;
async function lane(): Promise<void> {
  for (let check = waiting.shift(); check !== undefined; check = waiting.shift()) if (!(await passes(check))) failed++;
}
await Promise.all(fix ? [lane()] : [lane(), lane()]);
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
