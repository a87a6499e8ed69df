/**
 * Starts a REPL. The three pipes of its process belong to the user. So requests and answers use two named pipes in a temporary
 * directory; a small second process connects them to its own stdin and stdout.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Spawned, SpawnOptions } from "@caisson/api";
import type { Agent } from "@caisson/protocol";
import type { Call } from "../call.ts";
import { spawn } from "../spawn.ts";
import { Repl } from "./repl.ts";

const program = readFileSync(new URL("./program.mjs", import.meta.url));
export const connectPipes = 'mkfifo -m 600 "$0/in" "$0/out" || exit 1; cat "$0/out" & exec cat > "$0/in"';
/** Milliseconds for a REPL to end by itself. */
const closeGrace = 2000;

export async function startRepl(options: SpawnOptions, scriptArgs: readonly string[], call: Call): Promise<Spawned> {
  const { agent, signal, deno, log } = call;
  const { path: directory } = await agent.files.makeTempDir({ prefix: "caisson-repl-" }, { signal });
  const file = `${directory}/repl.mjs`;
  const [channel] = await Promise.all([
    agent.processes.spawn(
      { command: "/bin/bash", args: ["-c", connectPipes, directory], stdin: true, stdout: true },
      { signal },
    ),
    agent.files.writeFile({ path: file, data: program, create: true }, { signal }),
  ]);
  const cleanUp = async () => {
    await agent.processes.kill({ pid: channel.pid, signal: "SIGKILL" }).catch(() => {});
    await agent.files.remove({ path: directory, recursive: true });
  };
  const logged = (error: unknown) => log.debug({ err: error }, "a REPL was not cleaned up");
  try {
    const command = { command: "deno", args: ["run", "-A", file, ...scriptArgs] };
    const spawned = await spawn(command, { ...options, env: { ...options.env, CAISSON_REPL: directory } }, call);
    const pipes = { requests: agent.writeStream(channel.stdinStream), answers: agent.readStream(channel.stdoutStream) };
    const repl = new Repl(spawned.pid, pipes, call.memory.content);
    deno.add(repl);
    void agent.processes
      .wait({ pid: spawned.pid })
      .catch(() => {})
      .then(() => repl.fail("The REPL has ended."))
      .then(cleanUp)
      .catch(logged);
    return spawned;
  } catch (error) {
    await cleanUp().catch(logged);
    throw error;
  }
}

/** Ends a REPL. Resolves when its process has ended. */
export async function closeRepl(repl: Repl, agent: Agent): Promise<void> {
  repl.fail("The REPL was closed.");
  const ended = agent.processes.wait({ pid: repl.pid }).catch(() => {});
  const deadline = new AbortController();
  const timedOut = sleep(closeGrace, true, { signal: deadline.signal }).catch(() => false);
  if ((await Promise.race([ended, timedOut])) === true)
    await agent.processes.kill({ pid: repl.pid, signal: "SIGKILL" }).catch(() => {});
  deadline.abort();
  await ended;
}
