/** Runs the disk tools: arguments as a list, with a deadline; the end of their messages is in the error. */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Writable } from "node:stream";
import { CaissonError } from "@caisson/protocol";

export interface ToolOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. Default 60 s. */
  readonly deadline?: number;
  /** Lowest CPU and disk priority, for work that nobody waits for. */
  readonly background?: boolean;
  /** Exit codes that are not failures. Default [0]. */
  readonly accept?: readonly number[];
  /** Gets each line of the output; can write to the tool's input. What it throws ends the tool and is thrown. */
  readonly onLine?: (line: string, input: Writable) => void;
  /** Content of descriptor 3. */
  readonly descriptor3?: Buffer;
  /** Name of the tool in messages, when `program` only starts it. */
  readonly name?: string;
}

export class DiskFull extends CaissonError {
  /** @param what is stored there */
  constructor(what: string, cause?: unknown) {
    super("resource_exhausted", `The disk of the node that stores ${what} is full.`, { cause });
  }
}

/** The end of what a tool wrote to its standard error, bytes. */
const keptComplaints = 4096;

/**
 * @returns the exit code
 * @throws CaissonError `DiskFull`, `timeout`, `cancelled`, `unavailable` without the tool, else `internal`
 */
export async function runTool(program: string, args: readonly string[], options: ToolOptions = {}): Promise<number> {
  const { signal, deadline = 60_000, onLine, descriptor3, name = program } = options;
  const fail = (code: ConstructorParameters<typeof CaissonError>[0], message: string, cause?: unknown) =>
    new CaissonError(code, message, { cause });
  if (signal?.aborted === true) throw fail("cancelled", `${name} was cancelled.`, signal.reason);
  const command = options.background === true ? ["nice", "-n", "19", program, ...args] : [program, ...args];
  const child = spawn(command[0]!, command.slice(1), {
    stdio: [onLine === undefined ? "ignore" : "pipe", "pipe", "pipe", descriptor3 === undefined ? "ignore" : "pipe"],
    env: { PATH: process.env["PATH"], LC_ALL: "C" },
  });
  let reason: unknown;
  const end = (why: unknown) => {
    reason ??= why;
    child.kill("SIGKILL");
  };
  const timer = setTimeout(() => end(fail("timeout", `${name} did not finish within ${deadline} ms.`)), deadline);
  const abort = () => end(fail("cancelled", `${name} was cancelled.`, signal?.reason));
  signal?.addEventListener("abort", abort, { once: true });
  const input = child.stdin;
  // A tool may end before it has read all.
  input?.on("error", () => undefined);
  if (descriptor3 !== undefined) {
    const extra = child.stdio[3] as Writable;
    extra.on("error", () => undefined);
    extra.end(descriptor3);
  }
  let complaints = "";
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    complaints = (complaints + text).slice(-keptComplaints);
  });
  if (onLine === undefined) child.stdout!.resume();
  else {
    createInterface({ input: child.stdout! }).on("line", (line) => {
      try {
        if (reason === undefined) onLine(line, input!);
      } catch (error) {
        end(error);
      }
    });
  }
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", resolve);
    });
    if (reason !== undefined) throw reason;
    if (code !== null && (options.accept ?? [0]).includes(code)) return code;
    if (/No space left on device/.test(complaints)) throw new DiskFull("volumes");
    const said = complaints.trim().split("\n").slice(-3).join(" ") || `it ended with status ${code}`;
    throw fail("internal", `${name} failed: ${said}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && !(error instanceof CaissonError))
      throw fail("unavailable", `${program} is not installed on this host. Run the set-up.`, error);
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}
