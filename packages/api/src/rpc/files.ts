/** File system operations that take paths (wire contract 4.2). Semantics follow Deno's functions of the same name. */
import { z } from "zod";
import { abortId, base64, flag, length, nothing, optional, path, streamId, type MethodContract } from "./common.ts";
import { fileTime } from "./file-time.ts";

const mode = z.int().min(0).max(0o177777);
const ids = z.int().min(0).max(0xffff_ffff);
const onePath = z.object({ path });
const makeTemp = z.object({
  options: optional(z.object({ dir: optional(path), prefix: optional(path), suffix: optional(path) })),
});
const readParams = z.object({ path, abortId });
const writeOptions = z.object({
  append: flag,
  create: flag,
  createNew: flag,
  mode: optional(z.int().min(0).max(0o7777)),
});
const writeParams = z
  .object({
    path,
    abortId,
    options: optional(writeOptions),
    content: optional(z.string()),
    contentStreamId: optional(streamId),
  })
  .refine((params) => params.content !== undefined || params.contentStreamId !== undefined, {
    path: ["content"],
    message: "Required",
  });

export const directoryEntry = z.object({
  name: z.string(),
  isFile: z.boolean(),
  isDirectory: z.boolean(),
  isSymlink: z.boolean(),
});

/** All keys are always present; times are ISO strings. */
export const fileInfo = z.object({
  isFile: z.boolean(),
  isDirectory: z.boolean(),
  isSymlink: z.boolean(),
  isBlockDevice: z.boolean(),
  isCharDevice: z.boolean(),
  isFifo: z.boolean(),
  isSocket: z.boolean(),
  size: z.number(),
  mtime: z.string(),
  atime: z.string(),
  birthtime: z.string(),
  ctime: z.string(),
  mode: z.number(),
  dev: z.number(),
  ino: z.number(),
  nlink: z.number(),
  uid: z.number(),
  gid: z.number(),
  rdev: z.number(),
  blksize: z.number(),
  blocks: z.number(),
});

export type FileInfo = z.infer<typeof fileInfo>;

export const files = {
  readDir: { params: onePath, result: z.array(directoryEntry) },
  remove: { params: onePath.extend({ options: optional(z.object({ recursive: flag })) }), result: nothing },
  mkdir: {
    params: onePath.extend({ options: optional(z.object({ recursive: flag, mode: optional(mode) })) }),
    result: nothing,
  },
  rename: { params: z.object({ oldPath: path, newPath: path }), result: nothing },
  copyFile: { params: z.object({ fromPath: path, toPath: path }), result: nothing },
  stat: { params: onePath, result: fileInfo },
  lstat: { params: onePath, result: fileInfo },
  chmod: { params: onePath.extend({ mode }), result: nothing },
  chown: { params: onePath.extend({ uid: optional(ids), gid: optional(ids) }), result: nothing },
  link: { params: z.object({ target: path, path }), result: nothing },
  symlink: { params: z.object({ target: path, path }), result: nothing },
  readLink: { params: onePath, result: z.string() },
  realPath: { params: onePath, result: z.string() },
  makeTempDir: { params: makeTemp, result: z.string() },
  makeTempFile: { params: makeTemp, result: z.string() },
  truncate: { params: z.object({ name: path, length: optional(length) }), result: nothing },
  umask: { params: z.object({ mask: optional(mode) }), result: z.number() },
  utime: { params: onePath.extend({ atime: fileTime, mtime: fileTime }), result: nothing },
  readFile: { params: readParams, result: base64 },
  readTextFile: { params: readParams, result: z.string() },
  writeFile: { params: writeParams, result: nothing },
  writeTextFile: { params: writeParams, result: nothing },
} satisfies Record<string, MethodContract>;
