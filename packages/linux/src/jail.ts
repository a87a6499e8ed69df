/** Parts that all our jails have in common: what a program needs to load, and the loss of all rights. bwrap(1), setpriv(1). */
import { existsSync } from "node:fs";

/** What the dynamic linker reads on Debian 12 and 13, where /lib and /lib64 are links into /usr. */
const libraries = ["/usr/lib", "/usr/lib64", "/etc/ld.so.cache"];

export interface JailBase {
  /** More host files and directories that the program reads, under their own paths. Those that do not exist are left out. */
  readonly readOnly?: readonly string[];
  /** Directories to make. Parents come before their children: bubblewrap makes missing parents readable for root alone. */
  readonly directories?: readonly string[];
  /** Whether everything in the jail ends with the process that started it. Otherwise it lives on, with `program` as its first process. */
  readonly endsWithUs: boolean;
}

/** The beginning of a command: a jail with namespaces of its own that contains the libraries, `program`, and nothing else. */
export function jailBase(
  program: string,
  { readOnly = [], directories = [], endsWithUs }: JailBase,
  exists: (path: string) => boolean = existsSync,
): readonly string[] {
  const args = ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"];
  // The kernel forgets the signal at a parent's death when a process changes its user. bubblewrap's own first process does not change it.
  args.push(endsWithUs ? "--die-with-parent" : "--as-pid-1", "--clearenv", "--hostname", "vm");
  for (const directory of ["/usr", "/usr/bin", "/etc", ...directories])
    args.push("--perms", "0755", "--dir", directory);
  for (const tree of [...libraries, ...readOnly]) if (exists(tree)) args.push("--ro-bind", tree, tree);
  args.push("--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64");
  args.push("--ro-bind", program, program);
  return args;
}

/**
 * The end of the same command, before the program and its arguments. Nothing can be created in the jail's own file system, which is in
 * the host's memory.
 * @param uid user and group to become; absent: our own user, inside a user namespace. Only root can become another.
 * @param groups further groups
 */
export function jailEnd(uid: number | undefined, groups: readonly number[] = []): readonly string[] {
  if (uid === undefined) return ["--remount-ro", "/", "--unshare-user", "--"];
  const setpriv = "/usr/bin/setpriv";
  const capabilities = ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"].flatMap((name) => ["--cap-add", name]);
  const id = String(uid);
  return [
    ...["--ro-bind", setpriv, setpriv, "--remount-ro", "/"],
    ...["--cap-drop", "ALL", ...capabilities, "--"],
    ...[setpriv, "--reuid", id, "--regid", id],
    ...(groups.length === 0 ? ["--clear-groups"] : ["--groups", groups.join(",")]),
    ...["--inh-caps=-all", "--bounding-set=-all", "--"],
  ];
}
