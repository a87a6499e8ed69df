/** Runs Deno programs from a file or from code, with or without restarts when files change. */
import { rpcMethods as contract, type RpcResult, type SpawnOptions } from "@caisson/api";
import { method, type Call, type Methods } from "../call.ts";
import { typeError } from "../errors.ts";
import { spawn, type Command } from "../spawn.ts";
import { nextStreamId } from "../streams/stream-ids.ts";
import { watchRestarts } from "../watch-restarts.ts";
import { asDeadProcess } from "./processes.ts";

type SpawnDeno = RpcResult<"spawnDeno">;

export const deno: Methods = {
  spawnDeno: method(contract.spawnDeno, async ({ scriptArgs = [], ...params }, call) =>
    "entrypoint" in params
      ? await runFile(params.entrypoint, params.watch, scriptArgs, params, call)
      : await runCode(codeOf(params.code, call), params.extension, scriptArgs, params, call),
  ),
  denoHttpWait: method(
    contract.denoHttpWait,
    async ({ pid }, { agent, signal }) => {
      const { port } = await agent.processes.waitListening({ pid }, { signal }).catch(asDeadProcess);
      return port > 0;
    },
    undefined,
    false,
  ),
};

/** Largest program that is given as code, bytes. */
const maxCode = 16 * 2 ** 20;

function codeOf(code: string, { long }: Call): Buffer {
  if (long === undefined) return Buffer.from(code);
  if (long.length > maxCode)
    throw typeError(`The code has more than ${maxCode} bytes. Write it to a file and run that as the entrypoint.`);
  return Buffer.concat([...long.utf8()]);
}

async function runFile(
  entrypoint: string,
  watch: boolean | string[] | undefined,
  args: string[],
  options: SpawnOptions,
  call: Call,
): Promise<SpawnDeno> {
  // The name of a file may look like an option.
  const file = entrypoint.startsWith("-") ? `./${entrypoint}` : entrypoint;
  if (watch === undefined || watch === false) {
    return {
      ...(await spawn({ command: "deno", args: ["run", "-A", file, ...args] }, options, call)),
      watcherId: null,
    };
  }
  const watcherId = `watch-${nextStreamId()}`;
  // Deno reads a double comma as a comma in a path.
  const flag =
    Array.isArray(watch) && watch.length > 0
      ? `--watch=${watch.map((path) => path.replaceAll(",", ",,")).join(",")}`
      : "--watch";
  const command: Command = {
    command: "deno",
    args: ["run", "-A", flag, "--no-clear-screen", file, ...args],
    watchStderr: (source) =>
      watchRestarts(source, () => call.connection.notify("$sandbox.deno.watcher.restart", { watcherId })),
  };
  return { ...(await spawn(command, options, call)), watcherId };
}

async function runCode(
  code: Buffer,
  extension: string,
  args: string[],
  options: SpawnOptions,
  call: Call,
): Promise<SpawnDeno> {
  const { agent, signal, log } = call;
  const { path } = await agent.files.makeTempFile({ prefix: "caisson-run-", suffix: `.${extension}` }, { signal });
  const remove = () =>
    agent.files
      .remove({ path })
      .catch((error: unknown) => log.debug({ err: error }, "a program's file was not removed"));
  try {
    await agent.files.writeFile({ path, data: code, create: true }, { signal });
    const spawned = await spawn({ command: "deno", args: ["run", "-A", path, ...args] }, options, call);
    void agent.processes
      .wait({ pid: spawned.pid })
      .catch(() => {})
      .then(remove);
    return { ...spawned, watcherId: null };
  } catch (error) {
    await remove();
    throw error;
  }
}
