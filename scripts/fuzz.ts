/**
 * `npm run fuzz`: every fuzz target for long, with fresh inputs.
 *
 *   guest    packages/node, packages/egress, packages/gateway: what the host reads from a guest
 *   client   packages/server: what the server reads from clients
 *   agent    agent/: what the guest agent reads from programs beside it and from the host (Go's own fuzzing)
 *
 * `--seconds 600` (the default) is the time of each side, shared equally by its targets. `--only guest` (or client, agent) runs one side,
 * words filter targets by path, `--seed 5` repeats a run. A failing input is kept beside its target, as a seed that runs first from
 * then on. The last line is `N passed, N failed`.
 */
import { spawn } from "node:child_process";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import type { FuzzReport } from "@caisson/testing/fuzz";

const root = join(import.meta.dirname, "..");
const { values, positionals } = parseArgs({
  options: {
    seconds: { type: "string", default: "600" },
    only: { type: "string", multiple: true },
    seed: { type: "string" },
  },
  allowPositionals: true,
});
const firstSeed = values.seed ?? String(Math.floor(Math.random() * 2 ** 30));
const work = mkdtempSync(join(tmpdir(), "caisson-fuzz-run-"));
const mib = 2 ** 20;

interface Target {
  readonly side: "guest" | "client" | "agent";
  readonly name: string;
  run(seconds: number): Promise<Outcome>;
}

interface Outcome {
  readonly executions: number;
  readonly seconds: number;
  /** MiB; absent: not measured. */
  readonly growth: number | undefined;
  readonly failure: string | undefined;
}

/** One target in TypeScript, in a process of its own. */
function scriptTarget(side: Target["side"], path: string): Target {
  return {
    side,
    name: path,
    async run(seconds) {
      const [report, trace] = [join(work, "report.json"), join(work, "input")];
      rmSync(report, { force: true });
      const environment = {
        CAISSON_FUZZ_SECONDS: String(seconds),
        CAISSON_FUZZ_SEED: firstSeed,
        CAISSON_FUZZ_REPORT: report,
      };
      const ended = await program(process.execPath, ["--test-force-exit", path], root, environment, seconds + 120);
      if (existsSync(report)) {
        const { executions, milliseconds, rssGrowth, failure } = JSON.parse(readFileSync(report, "utf8")) as FuzzReport;
        return { executions, seconds: milliseconds / 1000, growth: rssGrowth, failure };
      }
      // It took its process with it. Once more, writing down each input before it is tried.
      await program(
        process.execPath,
        ["--test-force-exit", path],
        root,
        { ...environment, CAISSON_FUZZ_TRACE: trace },
        seconds + 120,
      );
      const input = existsSync(trace)
        ? `; its last input, base64: ${readFileSync(trace).toString("base64").slice(0, 20_000)}`
        : "";
      return {
        executions: 0,
        seconds,
        growth: undefined,
        failure: `The process ended (${ended.how})${input}\n${ended.output.slice(-4000)}`,
      };
    },
  };
}

/** One target of `go test -fuzz`. Go keeps a failing input in `testdata/fuzz` beside the test. */
function goTarget(path: string, name: string): Target {
  const directory = dirname(path);
  return {
    side: "agent",
    name: `${path} ${name}`,
    async run(seconds) {
      const args = [
        "test",
        "-run",
        "^$",
        "-fuzz",
        `^${name}$`,
        "-fuzztime",
        `${Math.ceil(seconds)}s`,
        "-parallel",
        "2",
        `./${directory}`,
      ];
      const ended = await program("go", args, join(root, "agent"), {}, seconds + 240);
      // With much in Go's cache of inputs, a short run may only get through these.
      const executions = Number([...ended.output.matchAll(/(?:execs|coverage): (\d+)/g)].at(-1)?.[1] ?? 0);
      const passed = ended.how === "status 0" && /^PASS$/m.test(ended.output);
      const failure = passed || endedOnTime(ended.output) ? undefined : `${ended.how}\n${ended.output.slice(-4000)}`;
      return { executions, seconds, growth: ended.growth, failure };
    },
  };
}

/**
 * Before Go 1.27 the end of `-fuzztime` is now and then reported as a failure of the target (golang/go issue 75804). A failure of ours
 * names an input or says more than this.
 */
function endedOnTime(output: string): boolean {
  const said = /^--- FAIL: .*\n([^]*?)^FAIL$/m.exec(output)?.[1];
  return said?.trim() === "context deadline exceeded" && !output.includes("Failing input");
}

interface Ended {
  readonly how: string;
  readonly output: string;
  /** MiB by which its processes grew after the first seconds. */
  readonly growth: number;
}

/** @param limit seconds */
function program(
  command: string,
  args: readonly string[],
  directory: string,
  environment: Record<string, string>,
  limit: number,
): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: directory,
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-200_000)));
    let [first, peak, ticks] = [0, 0, 0];
    const watch = setInterval(() => {
      const now = residentOfGroup(child.pid ?? 0);
      // Go builds first.
      if (++ticks <= 5 || (command === "go" && !output.includes("now fuzzing"))) first = peak = now;
      peak = Math.max(peak, now);
      if (ticks > limit) process.kill(-(child.pid ?? 0), "SIGKILL");
    }, 1000);
    const finish = (how: string) => {
      clearInterval(watch);
      resolve({ how, output, growth: Math.max(0, Math.round((peak - first) / mib)) });
    };
    child.once("error", (error) => finish(error.message));
    child.once("close", (code, signal) => finish(signal === null ? `status ${code}` : `signal ${signal}`));
  });
}

/** Resident bytes of all processes of a group (Go fuzzes in several). */
function residentOfGroup(group: number): number {
  let pages = 0;
  for (const directory of globSync("/proc/[0-9]*")) {
    try {
      const fields = readFileSync(join(directory, "stat"), "utf8").split(") ")[1]!.split(" ");
      // proc_pid_stat(5): after the name come state, ppid, pgrp; rss is the 24th of all.
      if (Number(fields[2]) === group) pages += Number(fields[21]);
    } catch {
      // It ended meanwhile.
    }
  }
  return pages * 4096;
}

function goTargets(): Target[] {
  return globSync("internal/**/*_test.go", { cwd: join(root, "agent") })
    .toSorted()
    .flatMap((path) =>
      [...readFileSync(join(root, "agent", path), "utf8").matchAll(/^func (Fuzz\w+)\(/gm)].map((match) =>
        goTarget(path, match[1]!),
      ),
    );
}

const scripts = globSync("packages/*/src/**/*.fuzz.ts", { cwd: root }).toSorted();
const targets = [
  ...scripts.map((path) => scriptTarget(path.startsWith("packages/server/") ? "client" : "guest", path)),
  ...goTargets(),
].filter(
  ({ side, name }) =>
    (values.only === undefined || values.only.includes(side)) &&
    (positionals.length === 0 || positionals.some((word) => name.includes(word))),
);

const failures: string[] = [];
console.log(`${targets.length} targets, seed ${firstSeed}`);
for (const target of targets) {
  const share = Number(values.seconds) / targets.filter(({ side }) => side === target.side).length;
  const { executions, seconds, growth, failure } = await target.run(share);
  console.log(
    `${failure === undefined ? "ok    " : "FAILED"} ${target.side.padEnd(6)} ${target.name}: ${executions} executions, ${Math.round(executions / seconds)}/s, ` +
      `${Math.round(seconds)} s, memory grew by ${growth === undefined ? "?" : growth} MiB, crashes: ${failure === undefined ? 0 : 1}`,
  );
  if (failure === undefined) continue;
  failures.push(target.name);
  console.log(failure);
}
rmSync(work, { recursive: true, force: true });
console.log(`\n${targets.length - failures.length} passed, ${failures.length} failed`);
process.exit(failures.length === 0 && targets.length > 0 ? 0 : 1);
