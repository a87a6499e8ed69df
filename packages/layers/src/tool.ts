/** Runs the disk tools: arguments as a list, with a deadline; the end of their output is in the error. */
import { execFile } from "node:child_process";
import { CaissonError } from "@caisson/protocol";

export interface ToolOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds. Default 60 s. */
  readonly deadline?: number;
  /** Lowest CPU and disk priority, for work that nobody waits for. */
  readonly background?: boolean;
  /** Exit codes that are not failures. Default [0]. */
  readonly accept?: readonly number[];
}

export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
}

/** @throws CaissonError `resource_exhausted` when the disk is full, `timeout`, `cancelled`, `unavailable` without the tool, else `internal` */
export function runTool(program: string, args: readonly string[], options: ToolOptions = {}): Promise<ToolResult> {
  const command = options.background === true ? ["nice", "-n", "19", program, ...args] : [program, ...args];
  const deadline = options.deadline ?? 60_000;
  return new Promise((resolve, reject) => {
    execFile(
      command[0]!,
      command.slice(1),
      {
        timeout: deadline,
        killSignal: "SIGKILL",
        signal: options.signal,
        maxBuffer: 64 << 20,
        env: { PATH: process.env["PATH"], LC_ALL: "C" },
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve({ code: 0, stdout });
        if (typeof error.code === "number" && options.accept?.includes(error.code) === true)
          return resolve({ code: error.code, stdout });
        const said = stderr.trim().split("\n").slice(-3).join(" ") || error.message;
        const fail = (code: ConstructorParameters<typeof CaissonError>[0], message: string) =>
          reject(new CaissonError(code, message, { cause: error }));
        if (error.name === "AbortError") return fail("cancelled", `${program} was cancelled.`);
        if (error.code === "ENOENT")
          return fail("unavailable", `${program} is not installed on this host. Run the set-up.`);
        if (error.killed === true) return fail("timeout", `${program} did not finish within ${deadline} ms.`);
        if (/No space left on device/.test(stderr))
          return fail("resource_exhausted", "The disk of the node that stores volumes is full.");
        return fail("internal", `${program} ${args[0] ?? ""} failed: ${said}`);
      },
    );
  });
}
