/**
 * The jail around QEMU: bubblewrap with private mount, pid, network, ipc and UTS namespaces. It contains nothing but QEMU, its
 * libraries, the image, the template and this machine's disks. When we are root, QEMU runs as a user that owns nothing else;
 * otherwise it runs in a user namespace.
 */
import { existsSync } from "node:fs";
import type { VmPlace } from "../driver.ts";
import { jailPaths } from "./command-line.ts";

export interface JailOptions {
  readonly place: VmPlace;
  readonly base: string;
  readonly boot?: { readonly kernel: string; readonly initramfs: string };
  readonly templateDirectory: string;
  readonly kvmGroup?: number;
  readonly kvm: boolean;
  readonly command: readonly string[];
}

/** Descriptor that bubblewrap reports the process id on. */
export const infoDescriptor = 3;

/** What the dynamic linker and QEMU read on Debian 12 and 13, where /bin and /lib are links into /usr. */
const readOnlyTrees = [
  "/usr/lib",
  "/usr/lib64",
  "/usr/share/qemu",
  "/usr/share/seabios",
  "/etc/ld.so.cache",
  // The only file that QEMU reads in /proc: whether memory may be mapped without being reserved.
  "/proc/sys/vm/overcommit_memory",
];

const parents = ["/usr", "/usr/bin", "/usr/share", "/etc", "/dev", "/image", "/proc", "/proc/sys", "/proc/sys/vm"];

/** Limit for files that a machine writes, so that a compromised monitor cannot fill the host's disk. In blocks of 512 bytes. */
const largestFileBlocks = (128 * 2 ** 30) / 512;

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
  const args = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"];
  args.push("--as-pid-1", "--info-fd", String(infoDescriptor), "--clearenv", "--hostname", "vm");
  // bubblewrap makes missing parents readable for root alone.
  for (const parent of parents) args.push("--perms", "0755", "--dir", parent);
  for (const tree of readOnlyTrees) if (exists(tree)) args.push("--ro-bind", tree, tree);
  args.push("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64");
  args.push("--ro-bind", program, program);
  for (const device of ["/dev/null", "/dev/urandom", ...(kvm ? ["/dev/kvm"] : [])])
    args.push("--dev-bind", device, device);
  args.push("--ro-bind", options.base, jailPaths.base);
  if (boot !== undefined)
    args.push("--ro-bind", boot.kernel, jailPaths.kernel, "--ro-bind", boot.initramfs, jailPaths.initramfs);
  args.push(boot === undefined ? "--ro-bind" : "--bind", options.templateDirectory, jailPaths.template);
  args.push("--bind", place.disksDirectory, jailPaths.disks);
  if (place.uid === undefined) return [...args, "--unshare-user", "--"];
  const setpriv = "/usr/bin/setpriv";
  args.push("--ro-bind", setpriv, setpriv, "--cap-drop", "ALL");
  for (const capability of ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]) args.push("--cap-add", capability);
  const id = String(place.uid);
  const groups = options.kvmGroup === undefined ? ["--clear-groups"] : ["--groups", String(options.kvmGroup)];
  return [
    ...args,
    "--",
    setpriv,
    "--reuid",
    id,
    "--regid",
    id,
    ...groups,
    "--inh-caps=-all",
    "--bounding-set=-all",
    "--",
  ];
}
