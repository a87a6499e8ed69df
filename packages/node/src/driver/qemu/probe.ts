/** Boots a stock kernel under KVM and waits for its first known message, with a deadline. */
import { spawn } from "node:child_process";

/** A working host needs a fraction of it; on a broken one the guest would use minutes of system time. */
const deadlineMs = 2000;
/** A second limit, in case our own timer is late: seconds of processor time. */
const cpuSeconds = 3;
/** What Linux prints at the end of its start when it finds no root file system. */
const cameThrough = /Kernel panic - not syncing: VFS|VFS: Unable to mount root fs|No working init found/;

export interface ProbeOptions {
  readonly program: string;
  readonly kernel: string;
  readonly deadlineMs?: number;
}

export type ProbeResult = { readonly works: true } | { readonly works: false; readonly reason: string };

/** Runs without disks, network and initial file system, so the kernel panics at the end of its start. That panic means success. */
export async function probeKvm(options: ProbeOptions): Promise<ProbeResult> {
  const args = [
    "-M",
    "q35,hpet=off,usb=off,sata=off,smbus=off,vmport=off,graphics=off,i8042=off",
    "-accel",
    "kvm",
    "-cpu",
    "host",
  ];
  args.push(
    "-smp",
    "1",
    "-m",
    "128M",
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-no-reboot",
    "-serial",
    "stdio",
  );
  args.push("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny");
  args.push("-kernel", options.kernel, "-append", "console=ttyS0 panic=-1 reboot=t root=/dev/none");
  const child = spawn("prlimit", [`--cpu=${cpuSeconds}`, "--core=0", options.program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  let console = "";
  let complaint = "";
  child.stdout.setEncoding("latin1").on("data", (text: string) => {
    console = (console + text).slice(-65_536);
    if (cameThrough.test(console)) child.kill("SIGKILL");
  });
  child.stderr.setEncoding("latin1").on("data", (text: string) => {
    complaint = (complaint + text).slice(-2000);
  });
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, options.deadlineMs ?? deadlineMs);
  await new Promise<void>((resolve) => {
    child.once("close", () => resolve());
    child.once("error", (error) => {
      complaint += error.message;
      resolve();
    });
  });
  clearTimeout(timer);
  if (cameThrough.test(console)) return { works: true };
  if (late) return { works: false, reason: "a test guest did not start within the deadline" };
  return { works: false, reason: `a test guest failed: ${complaint.trim().split("\n")[0] ?? "no reason given"}` };
}
