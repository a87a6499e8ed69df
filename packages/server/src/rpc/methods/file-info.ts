/** File metadata as the clients expect it (wire contract 4.2): all keys, times as ISO strings. */
import type { agentContract } from "@caisson/protocol";

const typeMask = 0o170000;
const types = {
  isFile: 0o100000,
  isDirectory: 0o040000,
  isSymlink: 0o120000,
  isBlockDevice: 0o060000,
  isCharDevice: 0o020000,
  isFifo: 0o010000,
  isSocket: 0o140000,
};

export function toFileInfo(info: agentContract.FileInfo): Record<string, unknown> {
  const type = info.mode & typeMask;
  return {
    ...Object.fromEntries(Object.entries(types).map(([key, bits]) => [key, type === bits])),
    size: Number(info.size),
    mtime: isoTime(info.mtimeNanos),
    atime: isoTime(info.atimeNanos),
    birthtime: isoTime(info.birthtimeNanos),
    ctime: isoTime(info.ctimeNanos),
    mode: info.mode,
    dev: Number(info.dev),
    ino: Number(info.ino),
    nlink: Number(info.nlink),
    uid: info.uid,
    gid: info.gid,
    rdev: Number(info.rdev),
    blksize: Number(info.blksize),
    blocks: Number(info.blocks),
  };
}

/** The range of a JavaScript date, milliseconds. */
const maxTime = 8.64e15;

function isoTime(nanos: bigint): string {
  const milliseconds = Number(nanos / 1_000_000n);
  return new Date(Math.max(-maxTime, Math.min(maxTime, milliseconds))).toISOString();
}
