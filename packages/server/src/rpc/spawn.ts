/** Starts a process in the sandbox and connects its pipes to streams of the client. */
import { finished } from "node:stream/promises";
import type { Readable } from "node:stream";
import type { Spawned, SpawnOptions } from "@caisson/api";
import { errnoOf, type Agent } from "@caisson/protocol";
import { split, type Hold } from "../kernel/memory/budget.ts";
import { memoryPatience, type Call } from "./call.ts";
import { OperationFailure, serialiseError } from "./errors.ts";
import { HoldBack } from "./streams/hold-back.ts";
import type { InboundStream } from "./streams/inbound-stream.ts";
import { outboundBytes } from "./streams/outbound.ts";

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  /** Reads the standard error of the process before the client does, also when the client did not ask for it. */
  readonly watchStderr?: (source: Readable) => Readable;
}

/** @throws OperationFailure as Deno's `Command` does when the program or the directory is missing */
export async function spawn(
  { command, args, watchStderr }: Command,
  options: SpawnOptions,
  call: Call,
): Promise<Spawned> {
  const { agent, connection, memory, signal } = call;
  const stdin = options.stdinStreamId === undefined ? undefined : connection.inbound.claim(options.stdinStreamId);
  let holds: Hold[] = [];
  try {
    const piped = [options.stdout, options.stderr].filter((output) => output === "piped").length;
    // All at once: whoever holds some must not wait for more.
    const all = await memory.streams.take(piped * outboundBytes, { signal, deadline: memoryPatience });
    holds = split(all, piped, outboundBytes);
    const started = await agent.processes.spawn(
      {
        command,
        args: [...args],
        env: options.env ?? {},
        clearEnv: options.clearEnv ?? false,
        cwd: options.cwd ?? "",
        stdin: stdin !== undefined,
        stdout: options.stdout === "piped",
        stderr: options.stderr === "piped" || watchStderr !== undefined,
      },
      { signal },
    );
    const hold = new HoldBack();
    connection.heldBack.set(started.pid, hold);
    void hold.released.then(() => connection.heldBack.delete(started.pid));
    if (stdin !== undefined) {
      stdin.onFrame = () => hold.touch();
      void sendStdin(stdin, started, call);
    }
    const outputs: Promise<void>[] = [];
    const forward = (source: Readable) => {
      const { promise, resolve: sent } = Promise.withResolvers<void>();
      outputs.push(promise);
      return connection.outbound.open(source, { hold: holds.shift()!, gate: hold.released, processOutput: true, sent });
    };
    const spawned = {
      pid: started.pid,
      stdoutStreamId: started.stdoutStream === 0n ? null : forward(agent.readStream(started.stdoutStream)),
      stderrStreamId:
        started.stderrStream === 0n ? null : forwardStderr(agent, started.stderrStream, options, watchStderr, forward),
    };
    const sent = Promise.all(outputs).then(() => void connection.outputs.delete(started.pid));
    if (outputs.length > 0) connection.outputs.set(started.pid, sent);
    return spawned;
  } catch (error) {
    stdin?.destroy();
    throw spawnFailure(command, options.cwd, error);
  } finally {
    // Those that no stream has.
    for (const held of holds) held.release();
  }
}

/** A process that takes no more input and has not ended after this time is still running. Milliseconds. */
const endPatience = 1_000;

/**
 * Carries the client's input to the process. When the process closes its input, the client's stream is cancelled, as a closed pipe would do.
 * When the process has ended, the stream is not cancelled: it is no error that the client has more input.
 */
async function sendStdin(
  stdin: InboundStream,
  { pid, stdinStream }: { readonly pid: number; readonly stdinStream: bigint },
  call: Call,
): Promise<void> {
  const sink = call.agent.writeStream(stdinStream);
  stdin.once("close", () => {
    if (!stdin.readableEnded) sink.destroy();
  });
  stdin.pipe(sink);
  const error = await finished(sink, { readable: false }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  stdin.unpipe(sink);
  if (stdin.readableEnded || stdin.destroyed) return;
  call.log.debug({ err: error, pid }, "stdin ended early");
  const ended = await call.agent.processes.wait({ pid }, { timeoutMs: endPatience }).then(
    () => true,
    () => false,
  );
  if (ended) call.connection.inbound.forget(stdin);
  else stdin.destroy();
}

function forwardStderr(
  agent: Agent,
  stream: bigint,
  options: SpawnOptions,
  watch: Command["watchStderr"],
  forward: (source: Readable) => number,
): number | null {
  const source = agent.readStream(stream);
  const seen = watch === undefined ? source : watch(source);
  if (options.stderr === "piped") return forward(seen);
  seen.on("error", () => {}).resume();
  return null;
}

/** The texts of Deno's `Command.spawn`. */
function spawnFailure(command: string, cwd: string | undefined, error: unknown): unknown {
  const errno = errnoOf(error);
  if (errno === undefined) return error;
  const { constructorName, message } = serialiseError(error);
  const why =
    errno === "ENOENT"
      ? cwd === undefined
        ? "entity not found"
        : `entity not found (program, or directory '${cwd}')`
      : message;
  return new OperationFailure({ constructorName, message: `Failed to spawn '${command}': ${why}`, code: errno });
}
