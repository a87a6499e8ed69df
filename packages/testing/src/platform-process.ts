/** The real platform as a child process with a home of its own, started and ended as an operator would. */
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until, within } from "./deadline.ts";
import { readEnvFile, type ClientEnvironment } from "./env-file.ts";

const repository = fileURLToPath(new URL("../../../", import.meta.url));
/** As `npm start` does. */
const entry = [
  "--max-semi-space-size=8",
  "--max-old-space-size=2000",
  join(repository, "packages/platform/src/main.ts"),
];

export interface PlatformOptions {
  /** Written to `config.json`. */
  readonly config?: Record<string, unknown>;
  /** Use this home and keep it: for a second start over the same state. */
  readonly home?: string;
  /** How long the ready line may take, milliseconds. The first start on a host also makes the template. Default 180 s. */
  readonly readyWithin?: number;
  /** Environment variables of its own, such as `DATABASE_URL`. */
  readonly env?: Readonly<Record<string, string>>;
  /** A program and its arguments in front of the platform's own; it must replace itself with what follows. */
  readonly launcher?: readonly string[];
}

export interface PlatformEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly milliseconds: number;
}

export interface PlatformProcess {
  readonly home: string;
  readonly pid: number;
  readonly env: ClientEnvironment;
  /** What it printed so far, both streams. */
  output(): string;
  /** SIGTERM, then waits; removes the home unless it was given. @throws Error when it has not ended after `limit` ms (default 10 s) */
  stop(limit?: number): Promise<PlatformEnd>;
  /** SIGUSR2: ends, and leaves sandboxes with a duration to the next one. @throws Error when it has not ended after 10 s */
  leave(): Promise<PlatformEnd>;
  /** SIGKILL: the platform gets no chance to clean up. Its machines stay. */
  crash(): Promise<PlatformEnd>;
}

/** @throws Error with the platform's output when it ends or stays silent instead of getting ready */
export async function startPlatform(options: PlatformOptions = {}): Promise<PlatformProcess> {
  // Short, because unix sockets below it may not have a path of more than 107 bytes.
  const home = options.home ?? (await mkdtemp(join(tmpdir(), "csn-")));
  await mkdir(home, { recursive: true });
  if (options.config !== undefined) await writeFile(join(home, "config.json"), JSON.stringify(options.config));
  await rm(join(home, "env"), { force: true });
  const [program = process.execPath, ...args] = [...(options.launcher ?? []), process.execPath, ...entry];
  const child = spawn(program, args, {
    cwd: repository,
    env: {
      ...withoutClientVariables(process.env),
      CAISSON_HOME: home,
      CAISSON_PORT: "0",
      CAISSON_HTTPS_PORT: "0",
      CAISSON_SSH_PORT: "0",
      ...options.env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const stopAtExit = (): void => void child.kill("SIGTERM");
  process.once("exit", stopAtExit);

  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => (output = (output + text).slice(-1_000_000)));
  }
  const ended = new Promise<Omit<PlatformEnd, "milliseconds">>((resolve) => {
    child.once("error", (error) => {
      output += String(error);
      resolve({ code: null, signal: null });
    });
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  void ended.then(() => process.removeListener("exit", stopAtExit));

  await ready(child, () => output, options.readyWithin ?? 180_000);
  const env = await readEnvFile(join(home, "env"));
  const end = async (signal: NodeJS.Signals, limit: number): Promise<PlatformEnd> => {
    const start = performance.now();
    child.kill(signal);
    try {
      const result = await within(limit, `the platform's end after ${signal}`, ended);
      return { ...result, milliseconds: performance.now() - start };
    } catch (error) {
      child.kill("SIGKILL");
      throw new Error(`${String(error)}; its output:\n${tail(output)}`, { cause: error });
    }
  };
  return {
    home,
    pid: child.pid ?? 0,
    env,
    output: () => output,
    async stop(limit = 10_000) {
      const result = await end("SIGTERM", limit);
      if (options.home === undefined) await rm(home, { recursive: true, force: true });
      return result;
    },
    leave: () => end("SIGUSR2", 10_000),
    crash: () => end("SIGKILL", 5_000),
  };
}

async function ready(child: ChildProcess, output: () => string, limit: number): Promise<void> {
  try {
    await until(limit, "the platform's ready line", () => {
      if (/^caisson ready/m.test(output())) return true;
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error("The platform ended before it was ready.");
      return undefined;
    });
  } catch (error) {
    child.kill("SIGTERM");
    throw new Error(`${String(error)}; its output:\n${tail(output())}`, { cause: error });
  }
}

/** A developer's own variables must not decide which server the tests talk to. */
function withoutClientVariables(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(
      ([name]) => !name.startsWith("DENO_") && !/^CAISSON_(HOME|PORT|HTTPS_PORT|SSH_PORT|TEST_)/.test(name),
    ),
  );
}

function tail(text: string): string {
  return text.split("\n").slice(-40).join("\n");
}
