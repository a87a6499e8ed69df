/**
 * The jail around QEMU: bubblewrap with private mount, pid, network, ipc and UTS namespaces. It contains nothing but QEMU, its
 * libraries, the image, the template and this machine's disks. When we are root, QEMU runs as a user that owns nothing else;
 * otherwise it runs in a user namespace.
 */
import { existsSync } from "node:fs";
import { jailBase, jailEnd, seccompFilter } from "@caisson/linux";
import type { VmPlace } from "../driver.ts";
import { jailPaths } from "./command-line.ts";

export interface JailOptions {
  readonly place: VmPlace;
  readonly base: string;
  readonly boot?: { readonly kernel: string; readonly initramfs: string };
  readonly templateDirectory: string;
  /** It saves a template. */
  readonly writesTemplate: boolean;
  readonly kvmGroup?: number;
  readonly kvm: boolean;
  readonly command: readonly string[];
}

/** Descriptors of bubblewrap: it reports the process id on the first, and reads the seccomp filter from the second. */
export const jailDescriptors = { info: 3, seccomp: 4 } as const;

/** What QEMU reads besides its libraries. */
const readOnlyTrees = [
  "/usr/share/qemu",
  "/usr/share/seabios",
  // The only file that QEMU reads in /proc: whether memory may be mapped without being reserved.
  "/proc/sys/vm/overcommit_memory",
];

const directories = ["/usr/share", "/dev", "/image", "/proc", "/proc/sys", "/proc/sys/vm"];

/** Limit for files that a machine writes, so that a compromised monitor cannot fill the host's disk. In blocks of 512 bytes. */
const largestFileBlocks = (128 * 2 ** 30) / 512;

/** Each image of a disk takes one; a chain has at most 256. QEMU takes about 60 for itself. */
const openFiles = 1024;

/**
 * Joins the control groups, makes itself the first candidate of the OOM killer, disables core dumps (they would contain the guest's
 * secrets), and executes the jail.
 */
const launcher = `set -e
n=$1; shift
while [ "$n" -gt 0 ]; do echo 0 > "$1"; shift; n=$((n-1)); done
echo 800 > /proc/self/oom_score_adj
ulimit -c 0
ulimit -f ${largestFileBlocks}
ulimit -n ${openFiles}
exec "$@"`;

/** The whole command, launcher first. */
export function jailedCommand(
  options: JailOptions,
  exists: (path: string) => boolean = existsSync,
): readonly [string, ...string[]] {
  const { place } = options;
  return [
    "/bin/sh",
    "-c",
    launcher,
    "caisson-vm",
    String(place.joinFiles.length),
    ...place.joinFiles,
    ...jail(options, exists),
    ...options.command,
  ];
}

function jail(options: JailOptions, exists: (path: string) => boolean): readonly string[] {
  const { place, boot, kvm } = options;
  const [program = ""] = options.command;
  const args = [...jailBase(program, { readOnly: readOnlyTrees, directories, endsWithUs: false }, exists)];
  args.push("--info-fd", String(jailDescriptors.info), "--seccomp", String(jailDescriptors.seccomp));
  for (const device of ["/dev/null", "/dev/urandom", ...(kvm ? ["/dev/kvm"] : [])])
    args.push("--dev-bind", device, device);
  args.push("--ro-bind", options.base, jailPaths.base);
  if (boot !== undefined)
    args.push("--ro-bind", boot.kernel, jailPaths.kernel, "--ro-bind", boot.initramfs, jailPaths.initramfs);
  args.push(options.writesTemplate ? "--bind" : "--ro-bind", options.templateDirectory, jailPaths.template);
  args.push("--bind", place.disksDirectory, jailPaths.disks);
  return [...args, ...jailEnd(place.uid, options.kvmGroup === undefined ? [] : [options.kvmGroup])];
}

/**
 * The system calls that QEMU may make, for the descriptor `jailDescriptors.seccomp`. A clone cannot create files: its disk directory
 * belongs to our own user when we are not root. Saving a template opens files with O_CREAT.
 */
export function jailFilter({ writesTemplate }: Pick<JailOptions, "writesTemplate">): Buffer {
  return seccompFilter({ createFiles: writesTemplate });
}
