/** Open files (wire contract 4.3). A handle's number belongs to the connection that opened it. */
import { z } from "zod";
import { base64, flag, length, nothing, optional, path, type MethodContract } from "./common.ts";
import { fileTime } from "./file-time.ts";
import { fileInfo } from "./files.ts";

const handle = z.object({ fileHandleId: z.number() });
const offset = z.union([
  z.int().transform(BigInt),
  z
    .string()
    .regex(/^-?\d{1,19}$/)
    .transform(BigInt),
]);

export const openOptions = z.object({
  read: flag,
  write: flag,
  append: flag,
  truncate: flag,
  create: flag,
  createNew: flag,
  mode: optional(z.int().min(0).max(0o7777)),
});

export const fileHandles = {
  open: { params: z.object({ path, options: optional(openOptions) }), result: handle },
  create: { params: z.object({ path }), result: handle },
  fileClose: { params: handle, result: nothing },
  /** `data` is null at the end of the file. */
  fileRead: { params: handle.extend({ length: z.number().min(0) }), result: z.object({ data: base64.nullable() }) },
  fileWrite: { params: handle.extend({ data: base64 }), result: z.object({ bytesWritten: z.number() }) },
  fileSeek: {
    params: handle.extend({ offset, whence: z.union([z.literal(0), z.literal(1), z.literal(2)]) }),
    result: z.object({ position: z.number() }),
  },
  fileStat: { params: handle, result: fileInfo },
  fileSync: { params: handle, result: nothing },
  fileSyncData: { params: handle, result: nothing },
  /** The Python client calls the length `size`. */
  fileTruncate: { params: handle.extend({ len: optional(length), size: optional(length) }), result: nothing },
  fileLock: { params: handle.extend({ exclusive: flag }), result: nothing },
  fileUnlock: { params: handle, result: nothing },
  fileUtime: { params: handle.extend({ atime: fileTime, mtime: fileTime }), result: nothing },
} satisfies Record<string, MethodContract>;
