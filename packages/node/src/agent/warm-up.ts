/**
 * Runs typical commands in a clone before it has an owner. The programs that most owners run first are then in memory, and on
 * emulated processors they are translated. It leaves nothing behind.
 */
import type { AgentClient } from "./client.ts";
import { rehearsal } from "./rehearsal.ts";

type Commands = readonly (readonly string[])[];

/** The loader and C library, a shell, its pipes. Larger programs would cost every idle clone their memory. */
const everybody: Commands = [["true"], ["sh", "-c", "true"], ["bash", "-c", "echo warm | cat"]];

/**
 * For a template, whose memory its clones share: puts the files of larger programs into the page cache. Flushed at the
 * end, or every clone would write the same data.
 */
export const templatePrograms: Commands = [
  ["python3", "-c", "import json, ssl, urllib.request"],
  ["node", "-e", "0"],
  ["deno", "eval", "0"],
  ["git", "--version"],
  ["rm", "-rf", "/home/app/.cache"],
  ["sync"],
];

const deadlineMs = 60_000;

/** @param programs run in addition, last */
export async function warmUp(agent: AgentClient, programs: Commands = []): Promise<void> {
  const signal = AbortSignal.timeout(deadlineMs);
  await run(agent, everybody, signal);
  await runThroughStreams(agent, signal);
  await useFiles(agent, signal);
  await agent.machine.rehearse(rehearsal(), { signal });
  if (programs.length > 0) await run(agent, programs, signal);
}

async function run(agent: AgentClient, commands: Commands, signal: AbortSignal): Promise<void> {
  await agent.machine.warmUp({ commands: commands.map((argv) => ({ argv: [...argv] })) }, { signal });
}

/** All steps of a command: spawn, three streams, wait. */
async function runThroughStreams(agent: AgentClient, signal: AbortSignal): Promise<void> {
  const request = { command: "sh", args: ["-c", "cat; echo warm >&2"], stdin: true, stdout: true, stderr: true };
  const { pid, stdinStream, stdoutStream, stderrStream } = await agent.processes.spawn(request, { signal });
  const waited = agent.processes.wait({ pid }, { signal });
  agent.writeStream(stdinStream).end("warm");
  await Promise.all([drain(agent, stdoutStream), drain(agent, stderrStream), waited]);
}

async function useFiles(agent: AgentClient, signal: AbortSignal): Promise<void> {
  const { path } = await agent.files.makeTempFile({ dir: "/tmp" }, { signal });
  await agent.files.writeFile({ path, data: new Uint8Array([1]), create: true }, { signal });
  await agent.files.readFile({ path, inlineLimit: 1024 }, { signal });
  await agent.files.remove({ path }, { signal });
}

async function drain(agent: AgentClient, stream: bigint): Promise<void> {
  const readable = agent.readStream(stream);
  readable.resume();
  await new Promise<void>((resolve, reject) => readable.once("end", resolve).once("error", reject));
}
