/** The directories of a machine: a short runtime directory for sockets and state, and one for its disks. */
import { createHash, randomBytes } from "node:crypto";
import { chmod, lstat, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { CaissonError } from "@caisson/protocol";

/** `sun_path` of unix(7) holds 108 bytes, the last of which is the terminating zero. */
const socketPathBytes = 107;
/** The longest file name used inside a runtime directory, with its separator. */
const longestName = "/.control.sock.new".length;
const keyLength = 12;

export interface NodeDirectories {
  /** Holds one runtime directory per machine. Readable by this user alone. */
  readonly run: string;
  /** Holds one disk directory per machine, on the file system of the volumes. Readable by this user alone. */
  readonly disks: string;
}

export interface MachineDirectories {
  /** Random name of the machine on this host. It does not change when a pooled clone gets its owner. */
  readonly key: string;
  readonly run: string;
  readonly disks: string;
}

/**
 * Creates the two directories. When `home` is so deep that a socket path would not fit into `sun_path`, the sockets move to
 * a short directory whose name is derived from `home`, so that the next process finds them again.
 * @throws CaissonError `invalid_state` when the short directory belongs to somebody else
 */
export async function prepareDirectories(
  home: string,
  shortBase = process.getuid?.() === 0 ? "/run" : "/tmp",
): Promise<NodeDirectories> {
  const disks = join(home, "disks");
  let run = join(home, "run");
  if (Buffer.byteLength(run) + 1 + keyLength + longestName > socketPathBytes) {
    run = join(
      shortBase,
      `caisson-${process.getuid?.() ?? 0}-${createHash("sha256").update(home).digest("hex").slice(0, 10)}`,
    );
  }
  for (const directory of [run, disks]) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const found = await lstat(directory);
    if (!found.isDirectory() || found.uid !== process.getuid?.()) {
      throw new CaissonError(
        "invalid_state",
        `${directory} is not a directory of this user. Remove it, or set CAISSON_HOME to another directory.`,
      );
    }
    await chmod(directory, 0o700);
  }
  return { run, disks };
}

/** Both or none: the file systems may be different, and one of them full. */
export async function createMachineDirectories(node: NodeDirectories): Promise<MachineDirectories> {
  const key = randomBytes(keyLength / 2).toString("hex");
  const directories = machineDirectories(node, key);
  const made = await Promise.allSettled([
    mkdir(directories.run, { mode: 0o700 }),
    // The jailed process, which runs as another user, can read it and cannot create files in it.
    mkdir(directories.disks, { mode: 0o755 }),
  ]);
  const failed = made.find(({ status }) => status === "rejected");
  if (failed === undefined) return directories;
  await removeMachineDirectories(directories);
  throw (failed as PromiseRejectedResult).reason;
}

export function machineDirectories(node: NodeDirectories, key: string): MachineDirectories {
  return { key, run: join(node.run, key), disks: join(node.disks, key) };
}

export async function removeMachineDirectories(directories: MachineDirectories): Promise<void> {
  await Promise.all([
    rm(directories.disks, { recursive: true, force: true }),
    rm(directories.run, { recursive: true, force: true }),
  ]);
}
