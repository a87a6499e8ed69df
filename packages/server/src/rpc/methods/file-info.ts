/** File metadata as the clients expect it (wire contract 4.2): all keys, times as ISO strings. */
import type { FileInfo } from "@caisson/api";
import type { agentContract } from "@caisson/protocol";

const typeMask = 0o170000;
const types = {
  regular: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  blockDevice: 0o060000,
  charDevice: 0o020000,
  fifo: 0o010000,
  socket: 0o140000,
};

export function toFileInfo(info: agentContract.FileInfo): FileInfo {
  const type = info.mode & typeMask;
  return {
    isFile: type === types.regular,
    isDirectory: type === types.directory,
    isSymlink: type === types.symlink,
    isBlockDevice: type === types.blockDevice,
    isCharDevice: type === types.charDevice,
    isFifo: type === types.fifo,
    isSocket: type === types.socket,
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
