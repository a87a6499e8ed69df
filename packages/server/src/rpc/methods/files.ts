/** File system operations that take paths. Semantics follow Deno's functions of the same name. */
import { rpcMethods as contract } from "@caisson/api";
import { agentAnswers, errnoOf, type agentContract } from "@caisson/protocol";
import { Code, ConnectError, createContextValues } from "@connectrpc/connect";
import { memoryPatience, method, type Call, type Methods } from "../call.ts";
import { toFileInfo } from "./file-info.ts";

export const files: Methods = {
  readDir: method(
    contract.readDir,
    async ({ path }, call) => {
      const entries = await readDirectory(path, call);
      return entries.map(({ name, isFile, isDirectory, isSymlink }) => ({ name, isFile, isDirectory, isSymlink }));
    },
    (params) => `readdir '${params.path}'`,
  ),
  remove: method(
    contract.remove,
    async (params, { agent, signal }) => {
      await agent.files.remove({ path: params.path, recursive: params.options?.recursive ?? false }, { signal });
    },
    (params) => `remove '${params.path}'`,
  ),
  mkdir: method(
    contract.mkdir,
    async ({ path, options = {} }, { agent, signal }) => {
      await agent.files.mkdir(
        { path, recursive: options.recursive ?? false, ...present("mode", options.mode) },
        { signal },
      );
    },
    (params) => `mkdir '${params.path}'`,
  ),
  rename: method(
    contract.rename,
    async ({ oldPath, newPath }, { agent, signal }) => {
      await agent.files.rename({ from: oldPath, to: newPath }, { signal });
    },
    (params) => `rename '${params.oldPath}' -> '${params.newPath}'`,
  ),
  copyFile: method(
    contract.copyFile,
    async ({ fromPath, toPath }, { agent, signal }) => {
      await agent.files.copyFile({ from: fromPath, to: toPath }, { signal });
    },
    (params) => `copy '${params.fromPath}' -> '${params.toPath}'`,
  ),
  stat: method(
    contract.stat,
    async (params, { agent, signal }) =>
      toFileInfo(await agent.files.stat({ path: params.path, noFollow: false }, { signal })),
    (params) => `stat '${params.path}'`,
  ),
  lstat: method(
    contract.lstat,
    async (params, { agent, signal }) =>
      toFileInfo(await agent.files.stat({ path: params.path, noFollow: true }, { signal })),
    (params) => `lstat '${params.path}'`,
  ),
  chmod: method(
    contract.chmod,
    async (params, { agent, signal }) => {
      await agent.files.chmod(params, { signal });
    },
    (params) => `chmod '${params.path}'`,
  ),
  chown: method(
    contract.chown,
    async ({ path, uid, gid }, { agent, signal }) => {
      await agent.files.chown({ path, ...present("uid", uid), ...present("gid", gid) }, { signal });
    },
    (params) => `chown '${params.path}'`,
  ),
  link: method(
    contract.link,
    async ({ target, path }, { agent, signal }) => {
      await agent.files.link({ from: target, to: path }, { signal });
    },
    (params) => `link '${params.target}' -> '${params.path}'`,
  ),
  symlink: method(
    contract.symlink,
    async ({ target, path }, { agent, signal }) => {
      await agent.files.symlink({ from: target, to: path }, { signal });
    },
    (params) => `symlink '${params.target}' -> '${params.path}'`,
  ),
  readLink: method(
    contract.readLink,
    async (params, { agent, signal }) => (await agent.files.readLink(params, { signal })).path,
    (params) => `readlink '${params.path}'`,
  ),
  realPath: method(
    contract.realPath,
    async (params, { agent, signal }) => (await agent.files.realPath(params, { signal })).path,
    (params) => `realpath '${params.path}'`,
  ),
  makeTempDir: method(
    contract.makeTempDir,
    async ({ options = {} }, { agent, signal }) =>
      (await agent.files.makeTempDir(tempRequest(options), { signal })).path,
    () => "tmpdir",
  ),
  makeTempFile: method(
    contract.makeTempFile,
    async ({ options = {} }, { agent, signal }) =>
      (await agent.files.makeTempFile(tempRequest(options), { signal })).path,
    () => "tmpfile",
  ),
  truncate: method(
    contract.truncate,
    async ({ name, length }, { agent, signal }) => {
      await agent.files.truncate({ path: name, length: length ?? 0n }, { signal });
    },
    (params) => `truncate '${params.name}'`,
  ),
  umask: method(contract.umask, async ({ mask }, { agent, signal }) => {
    return (await agent.files.umask(present("mask", mask), { signal })).previous;
  }),
  utime: method(
    contract.utime,
    async ({ path, atime, mtime }, { agent, signal }) => {
      await agent.files.utime({ path, atimeNanos: atime, mtimeNanos: mtime }, { signal });
    },
    (params) => `utime '${params.path}'`,
  ),
};

/**
 * Memory of a directory's entries, bytes. An entry of two bytes takes a hundred times as much once it is an object; only a hostile guest
 * sends such.
 */
const directoryBytes = { small: 12 * 2 ** 20, large: 96 * 2 ** 20 };

/** Few directories are large, so each is first read as if it were small. */
async function readDirectory(path: string, call: Call): Promise<readonly agentContract.DirEntry[]> {
  const { agent, memory, signal } = call;
  const small = await memory.content.take(directoryBytes.small, { signal, deadline: memoryPatience });
  call.hold(small);
  try {
    const { entries } = await agent.files.readDir({ path }, { signal });
    small.shrinkTo(entries.length * 512);
    return entries;
  } catch (error) {
    if (!isTooLarge(error)) throw error;
  }
  small.release();
  const wanted = Math.min(directoryBytes.large, memory.content.limit);
  const large = await memory.content.take(wanted, { signal, deadline: memoryPatience });
  call.hold(large);
  const contextValues = createContextValues().set(agentAnswers, "large");
  const { entries } = await agent.files.readDir({ path }, { signal, contextValues });
  large.shrinkTo(entries.length * 512);
  return entries;
}

/** The answer was larger than the bound of its method. The agent's own errors of this code carry an errno. */
function isTooLarge(error: unknown): boolean {
  return error instanceof ConnectError && error.code === Code.ResourceExhausted && errnoOf(error) === undefined;
}

function tempRequest({
  dir = "",
  prefix = "",
  suffix = "",
}: {
  dir?: string | undefined;
  prefix?: string | undefined;
  suffix?: string | undefined;
}) {
  return { dir, prefix, suffix };
}

/** In the generated messages a key that is undefined is not the same as an absent one. */
function present<K extends string, T>(key: K, value: T | undefined): { [key in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: T });
}
