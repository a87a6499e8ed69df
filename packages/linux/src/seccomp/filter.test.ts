/** The filter in a real jail: perl makes the calls, by number, and reports each error number. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type FilterOptions, seccompFilter } from "./filter.ts";

/** The error number of each call, 0 when it succeeded. */
function outcomes(options: FilterOptions | undefined, calls: Record<string, string>): Record<string, number> {
  const directory = mkdtempSync(join(tmpdir(), "caisson-seccomp-"));
  try {
    const script = Object.values(calls)
      .map((call) => `$! = 0; $r = syscall(${call}); print $r < 0 ? $! + 0 : 0, "\\n";`)
      .join("\n");
    const file = join(directory, "filter");
    writeFileSync(file, options === undefined ? "" : seccompFilter(options));
    const jail = ["--ro-bind", "/", "/", "--tmpfs", "/tmp", "--dev", "/dev"];
    const filter = options === undefined ? [] : ["--seccomp", "3"];
    const { stdout, stderr, status } = spawnSync("bwrap", [...jail, ...filter, "--", "perl", "-e", script], {
      stdio: ["ignore", "pipe", "pipe", openSync(file, "r")],
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    const codes = stdout.trim().split("\n").map(Number);
    return Object.fromEntries(Object.keys(calls).map((name, index) => [name, codes[index]!]));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const unwanted = {
  inotify_init1: "294, 0",
  io_uring_setup: "425, 1, $b = chr(0) x 120",
  keyctl: "250, 0, -3, 1",
  add_key: `248, $t = "user", $n = "x", $v = "y", 1, -3`,
  "socket AF_UNIX": "41, 1, 1, 0",
  "socket AF_VSOCK": "41, 40, 1, 0",
  "socket AF_NETLINK": "41, 16, 3, 0",
  perf_event_open: "298, 0, 0, -1, -1, 0",
  userfaultfd: "323, 1",
  bpf: "321, 0, 0, 0",
  ptrace: "101, 0, 0, 0, 0",
  process_vm_readv: "310, 1, 0, 0, 0, 0, 0",
  unshare: "272, 0x10000000",
  setns: "308, 0, 0",
  mount: "165, 0, 0, 0, 0, 0",
  fork: "57",
  "clone without CLONE_THREAD": "56, 17, 0, 0, 0, 0",
  "clone with CLONE_NEWUSER": "56, 0x10010000, 0, 0, 0, 0",
  clone3: "435, 0, 0",
  chmod: `90, $p = "/tmp", 0777`,
  fchmodat: `268, -100, $p = "/tmp", 0777`,
  link: `86, $p = "/tmp", $q = "/tmp/x"`,
  symlink: `88, $p = "/tmp", $q = "/tmp/x"`,
  mkdir: `83, $p = "/tmp/d", 0700`,
  unlink: `87, $p = "/tmp/d"`,
  rename: `82, $p = "/tmp/d", $q = "/tmp/e"`,
  creat: `85, $p = "/tmp/c", 0600`,
  "open O_CREAT": `2, $p = "/tmp/a", 0x41, 0600`,
  "openat O_CREAT": `257, -100, $p = "/tmp/b", 0x41, 0600`,
  "openat O_TMPFILE": `257, -100, $p = "/tmp", 0x410001, 0600`,
};

test("calls that a monitor never needs fail, whatever their arguments", () => {
  for (const [name, code] of Object.entries(outcomes({ createFiles: false }, unwanted)))
    assert.ok(code === 38 || code === 1, `${name}: ${code}`);
});

test("the same calls reach the kernel without the filter", () => {
  const free = outcomes(undefined, {
    inotify_init1: unwanted.inotify_init1,
    "socket AF_UNIX": unwanted["socket AF_UNIX"],
    mkdir: unwanted.mkdir,
    "openat O_TMPFILE": unwanted["openat O_TMPFILE"],
  });
  assert.deepEqual(Object.values(free), [0, 0, 0, 0]);
});

test("what QEMU and the disk tools need passes; files are created only where that is wanted", () => {
  const wanted = {
    memfd_create: `319, $n = "x", 1`,
    eventfd2: "290, 0, 0",
    "openat for reading": `257, -100, $p = "/etc/passwd", 0, 0`,
  };
  assert.deepEqual(Object.values(outcomes({ createFiles: false }, wanted)), [0, 0, 0]);
  const creates = { open: unwanted["open O_CREAT"], openat: unwanted["openat O_CREAT"] };
  assert.deepEqual(outcomes({ createFiles: true }, creates), { open: 0, openat: 0 });
});
