/** Processes, Deno programs and REPLs (wire contract 4.1, 4.4). */
import { z } from "zod";
import { environment, flag, nothing, optional, path, pid, streamId, text, type MethodContract } from "./common.ts";

const output = z.enum(["piped", "null"]);

/** Parameters that all ways to start a process share. */
export const spawnOptions = z.object({
  env: optional(environment),
  clearEnv: flag,
  cwd: optional(path),
  stdinStreamId: optional(streamId),
  stdout: output.default("piped"),
  stderr: output.default("piped"),
});

export type SpawnOptions = z.infer<typeof spawnOptions>;

const spawned = z.object({ pid, stdoutStreamId: streamId.nullable(), stderrStreamId: streamId.nullable() });

export type Spawned = z.infer<typeof spawned>;

const withScriptArgs = spawnOptions.extend({ scriptArgs: optional(z.array(text)) });
const denoParams = z.union([
  withScriptArgs.extend({
    entrypoint: path.min(1),
    watch: optional(z.union([z.boolean(), z.array(path)])),
    code: optional(z.undefined()),
  }),
  withScriptArgs.extend({
    code: z.string(),
    extension: z.enum(["js", "cjs", "mjs", "ts", "cts", "mts", "jsx", "tsx"]).default("ts"),
  }),
]);

const exitStatus = z.object({
  success: z.boolean(),
  code: z.number(),
  signal: z.string().nullable(),
  /** How likely it is that the kernel ended the process because memory ran out. Null: it did not. */
  oom: z.enum(["low-confidence", "high-confidence"]).nullable(),
});

export const processes = {
  spawn: {
    params: spawnOptions.extend({ command: text, args: optional(z.array(text)) }),
    result: spawned,
  },
  /** `vscode` is set for an editor's process, which is one like others. */
  processWait: { params: z.object({ pid, vscode: flag }), result: exitStatus },
  processKill: { params: z.object({ pid, signal: optional(z.string().max(32)), vscode: flag }), result: nothing },
  /** `watcherId` names the watcher in `$sandbox.deno.watcher.restart`. */
  spawnDeno: { params: denoParams, result: spawned.extend({ watcherId: z.string().nullable() }) },
  /** False: it ended before it listened. */
  denoHttpWait: { params: z.object({ pid }), result: z.boolean() },
  spawnDenoRepl: { params: withScriptArgs, result: spawned },
  denoReplEval: { params: z.object({ pid, code: z.string() }), result: z.unknown() },
  denoReplCall: { params: z.object({ pid, fn: z.string(), args: z.array(z.unknown()) }), result: z.unknown() },
  denoReplClose: { params: z.object({ pid }), result: nothing },
} satisfies Record<string, MethodContract>;
