/** File system operations that take paths. Semantics follow Deno's functions of the same name. */
import { z } from "zod";
import { method, optional, path, type Methods } from "../call.ts";
import { toFileInfo } from "./file-info.ts";
import { fileTime } from "./file-time.ts";

const mode = z.int().min(0).max(0o177777);
const ids = z.int().min(0).max(0xffff_ffff);
const onePath = z.object({ path });
const makeTemp = z.object({
  options: optional(z.object({ dir: optional(path), prefix: optional(path), suffix: optional(path) })),
});
const length = z.int().min(0).transform(BigInt);

export const files: Methods = {
  readDir: method(
    onePath,
    async (params, { agent, signal }) => {
      const { entries } = await agent.files.readDir(params, { signal });
      return entries.map(({ name, isFile, isDirectory, isSymlink }) => ({ name, isFile, isDirectory, isSymlink }));
    },
    (params) => `readdir '${params.path}'`,
  ),
  remove: method(
    onePath.extend({ options: optional(z.object({ recursive: optional(z.boolean()) })) }),
    async (params, { agent, signal }) => {
      await agent.files.remove({ path: params.path, recursive: params.options?.recursive ?? false }, { signal });
    },
    (params) => `remove '${params.path}'`,
  ),
  mkdir: method(
    onePath.extend({ options: optional(z.object({ recursive: optional(z.boolean()), mode: optional(mode) })) }),
    async ({ path, options = {} }, { agent, signal }) => {
      await agent.files.mkdir(
        { path, recursive: options.recursive ?? false, ...present("mode", options.mode) },
        { signal },
      );
    },
    (params) => `mkdir '${params.path}'`,
  ),
  rename: method(
    z.object({ oldPath: path, newPath: path }),
    async ({ oldPath, newPath }, { agent, signal }) => {
      await agent.files.rename({ from: oldPath, to: newPath }, { signal });
    },
    (params) => `rename '${params.oldPath}' -> '${params.newPath}'`,
  ),
  copyFile: method(
    z.object({ fromPath: path, toPath: path }),
    async ({ fromPath, toPath }, { agent, signal }) => {
      await agent.files.copyFile({ from: fromPath, to: toPath }, { signal });
    },
    (params) => `copy '${params.fromPath}' -> '${params.toPath}'`,
  ),
  stat: method(
    onePath,
    async (params, { agent, signal }) =>
      toFileInfo(await agent.files.stat({ path: params.path, noFollow: false }, { signal })),
    (params) => `stat '${params.path}'`,
  ),
  lstat: method(
    onePath,
    async (params, { agent, signal }) =>
      toFileInfo(await agent.files.stat({ path: params.path, noFollow: true }, { signal })),
    (params) => `lstat '${params.path}'`,
  ),
  chmod: method(
    onePath.extend({ mode }),
    async (params, { agent, signal }) => {
      await agent.files.chmod(params, { signal });
    },
    (params) => `chmod '${params.path}'`,
  ),
  chown: method(
    onePath.extend({ uid: optional(ids), gid: optional(ids) }),
    async ({ path, uid, gid }, { agent, signal }) => {
      await agent.files.chown({ path, ...present("uid", uid), ...present("gid", gid) }, { signal });
    },
    (params) => `chown '${params.path}'`,
  ),
  link: method(
    z.object({ target: path, path }),
    async ({ target, path }, { agent, signal }) => {
      await agent.files.link({ from: target, to: path }, { signal });
    },
    (params) => `link '${params.target}' -> '${params.path}'`,
  ),
  symlink: method(
    z.object({ target: path, path }),
    async ({ target, path }, { agent, signal }) => {
      await agent.files.symlink({ from: target, to: path }, { signal });
    },
    (params) => `symlink '${params.target}' -> '${params.path}'`,
  ),
  readLink: method(
    onePath,
    async (params, { agent, signal }) => (await agent.files.readLink(params, { signal })).path,
    (params) => `readlink '${params.path}'`,
  ),
  realPath: method(
    onePath,
    async (params, { agent, signal }) => (await agent.files.realPath(params, { signal })).path,
    (params) => `realpath '${params.path}'`,
  ),
  makeTempDir: method(
    makeTemp,
    async ({ options = {} }, { agent, signal }) =>
      (await agent.files.makeTempDir(tempRequest(options), { signal })).path,
    () => "tmpdir",
  ),
  makeTempFile: method(
    makeTemp,
    async ({ options = {} }, { agent, signal }) =>
      (await agent.files.makeTempFile(tempRequest(options), { signal })).path,
    () => "tmpfile",
  ),
  truncate: method(
    z.object({ name: path, length: optional(length) }),
    async ({ name, length }, { agent, signal }) => {
      await agent.files.truncate({ path: name, length: length ?? 0n }, { signal });
    },
    (params) => `truncate '${params.name}'`,
  ),
  umask: method(z.object({ mask: optional(mode) }), async ({ mask }, { agent, signal }) => {
    return (await agent.files.umask(present("mask", mask), { signal })).previous;
  }),
  utime: method(
    onePath.extend({ atime: fileTime, mtime: fileTime }),
    async ({ path, atime, mtime }, { agent, signal }) => {
      await agent.files.utime({ path, atimeNanos: atime, mtimeNanos: mtime }, { signal });
    },
    (params) => `utime '${params.path}'`,
  ),
};

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

/** The generated messages tell absent from undefined. */
function present<K extends string, T>(key: K, value: T | undefined): { [key in K]?: T } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: T });
}
