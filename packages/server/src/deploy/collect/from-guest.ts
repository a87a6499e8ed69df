/** Reads the files of an app from a sandbox, or from the machine of a build, in one stream. */
import { Readable } from "node:stream";
import { CaissonError, type Agent, type NodeFiles, type TreeEntry } from "@caisson/protocol";
import { eachLine, lastOutput, OutputTail } from "../../serving/output.ts";
import { readTar, tarOptions } from "./tar.ts";
import { TreeBuilder, type TreeLimits } from "./tree.ts";

/** Caches of tools in a home directory, and histories: not part of an app. */
const leftOut = [
  ".git",
  ".cache",
  ".npm",
  ".bash_history",
  ".bash_logout",
  ".bashrc",
  ".profile",
  ".sudo_as_admin_successful",
];

/** Milliseconds for the complaints to arrive after `tar` has ended. */
const longestOutput = 5_000;

export interface GuestFiles {
  readonly agent: Agent;
  /** A relative one begins in `/home/app`. */
  readonly path: string;
  readonly files: NodeFiles;
  readonly limits: TreeLimits;
  readonly signal: AbortSignal;
}

export interface Collected {
  readonly tree: readonly TreeEntry[];
  readonly bytes: number;
}

/** @throws CaissonError `invalid_argument` when the directory is not there, `too_large`, `guest_error` */
export async function collectFromGuest({ agent, path, files, limits, signal }: GuestFiles): Promise<Collected> {
  const info = await agent.files.stat({ path }, { signal }).catch((cause: unknown) => {
    throw new CaissonError("invalid_argument", `The directory ${JSON.stringify(path)} does not exist in the sandbox.`, {
      cause,
    });
  });
  if ((info.mode & 0o170000) !== 0o040000)
    throw new CaissonError("invalid_argument", `${JSON.stringify(path)} is not a directory.`);
  const { path: directory } = await agent.files.realPath({ path }, { signal });
  const args = [...tarOptions, "--anchored", "--no-wildcards", ...leftOut.map((name) => `--exclude=./${name}`)];
  const started = await agent.processes.spawn(
    // Root, because users can have files that they cannot read.
    { command: "tar", args: [...args, "-C", directory, "-cf", "-", "."], user: "root", stdout: true, stderr: true },
    { signal },
  );
  const complaints = new OutputTail();
  const errors = eachLine(agent.readStream(started.stderrStream), (line) => complaints.add(line));
  const stream = agent.readStream(started.stdoutStream);
  const stop = () => stream.destroy(signal.reason as Error);
  signal.addEventListener("abort", stop, { once: true });
  const builder = new TreeBuilder(files, limits);
  try {
    for await (const entry of readTar(stream as AsyncIterable<Buffer>)) {
      signal.throwIfAborted();
      if (entry.kind === "directory") builder.directory(entry.path);
      else if (entry.kind === "symlink") builder.symlink(entry.path, entry.target);
      else {
        builder.expect(entry.size);
        await builder.file(entry.path, Readable.from(entry.content, { objectMode: false }), entry.executable, signal);
      }
    }
  } catch (error) {
    stream.destroy();
    await agent.processes.kill({ pid: started.pid, signal: "SIGKILL" }, { timeoutMs: 5_000 }).catch(() => undefined);
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
  const { code } = await agent.processes.wait({ pid: started.pid }, { signal });
  await lastOutput(errors, longestOutput);
  // 1: a file changed while it was read.
  if (code > 1)
    throw new CaissonError(
      "guest_error",
      `The files could not be read from the sandbox: ${complaints.text.slice(-500)}`,
    );
  return { tree: await builder.finish(), bytes: builder.bytes };
}
