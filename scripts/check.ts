/** Every check that needs no running sandbox: formatting, lint, types, direction of dependencies, unused code, Go. */
import { spawnSync } from "node:child_process";
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

let failed = 0;
for (const check of checks) {
  const started = performance.now();
  const [command, ...args] = check.command;
  const result = spawnSync(command, args, {
    cwd: join(root, check.directory ?? "."),
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  const good = result.status === 0 && !(check.silentWhenGood && result.stdout.trim() !== "");
  console.log(`${good ? "ok    " : "FAILED"} ${check.name} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
  if (good) continue;
  failed++;
  console.log(`${result.stdout}${result.stderr}${result.error?.message ?? ""}`.trim());
  console.log(`       -> ${check.remedy}`);
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
