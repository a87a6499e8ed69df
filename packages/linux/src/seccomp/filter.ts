/** Makes a seccomp filter for `bwrap --seccomp`: an allow list as a program for the kernel's classic BPF (seccomp(2), `struct sock_filter`). */
import { allowedCalls } from "./calls.ts";

/** Instructions of classic BPF, linux/bpf_common.h. */
const load = 0x20; // BPF_LD | BPF_W | BPF_ABS
const jumpIfEqual = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const jumpIfAtLeast = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const jumpIfAnyBit = 0x45; // BPF_JMP | BPF_JSET | BPF_K
const answer = 0x06; // BPF_RET | BPF_K

/** Offsets in `struct seccomp_data`. The lower half of an argument comes first on x86-64. */
const numberOffset = 0;
const architectureOffset = 4;
const argumentOffset = (index: number) => 16 + 8 * index;

const architecture = 0xc000003e; // AUDIT_ARCH_X86_64
/** Numbers from here on are calls of the x32 ABI, which would otherwise pass under another number. */
const x32 = 0x40000000;

const kill = 0x80000000; // SECCOMP_RET_KILL_PROCESS
const allow = 0x7fff0000; // SECCOMP_RET_ALLOW
const fail = (errno: number) => 0x00050000 | errno; // SECCOMP_RET_ERRNO
/** "Not implemented": every caller knows that from old kernels. glibc then tries older calls, for example `clone` for `clone3`. */
const notImplemented = fail(38);
const notPermitted = fail(1);

const calls = { open: 2, clone: 56, openat: 257 } as const;
/** O_CREAT, and O_TMPFILE without its O_DIRECTORY. */
const creates = 0x40 | 0x400000;
const cloneThread = 0x10000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const cloneNamespaces = 0x7e020000;

export interface FilterOptions {
  /** Whether the process may create files where it has a writable directory. */
  readonly createFiles: boolean;
}

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

/** @returns the program as `bwrap --seccomp` reads it */
export function seccompFilter({ createFiles }: FilterOptions): Buffer {
  const program: Instruction[] = [
    [load, 0, 0, architectureOffset],
    [jumpIfEqual, 1, 0, architecture],
    [answer, 0, 0, kill],
    [load, 0, 0, numberOffset],
    [jumpIfAtLeast, 0, 1, x32],
    [answer, 0, 0, kill],
  ];
  const call = (number: number, ...body: Instruction[]) => program.push([jumpIfEqual, 0, body.length, number], ...body);
  // The most frequent calls need no special place: since Linux 5.11 the kernel remembers which numbers are always allowed.
  for (const number of Object.values(allowedCalls)) call(number, [answer, 0, 0, allow]);
  for (const [number, flags] of [
    [calls.open, 1],
    [calls.openat, 2],
  ] as const) {
    if (createFiles) call(number, [answer, 0, 0, allow]);
    else
      call(
        number,
        [load, 0, 0, argumentOffset(flags)],
        [jumpIfAnyBit, 0, 1, creates],
        [answer, 0, 0, notPermitted],
        [answer, 0, 0, allow],
      );
  }
  // Threads, but no processes and no namespaces.
  call(
    calls.clone,
    [load, 0, 0, argumentOffset(0)],
    [jumpIfAnyBit, 2, 0, cloneNamespaces],
    [jumpIfAnyBit, 0, 1, cloneThread],
    [answer, 0, 0, allow],
    [answer, 0, 0, notPermitted],
  );
  program.push([answer, 0, 0, notImplemented]);
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, [code, jumpTrue, jumpFalse, value]] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  }
  return bytes;
}
