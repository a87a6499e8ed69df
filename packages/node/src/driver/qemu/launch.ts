/** Starts a jailed QEMU that outlives this process: its sockets are bound here, and it runs in a session of its own. */
import { spawn } from "node:child_process";
import { channel } from "node:diagnostics_channel";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import { listenForChild } from "../../runtime/listening-socket.ts";
import { identifyProcess, killProcess, killWithChildren, type ProcessIdentity } from "@caisson/linux";
import type { ProcessListener } from "../driver.ts";
import type { Descriptors } from "./command-line.ts";
import { jailDescriptors, jailedCommand, jailFilter, type JailOptions } from "./jail.ts";

export interface LaunchOptions extends Omit<JailOptions, "command"> {
  /** QEMU and its arguments. */
  readonly command: (descriptors: Descriptors) => readonly string[];
  readonly onProcess: ProcessListener;
}

export interface Launched {
  readonly process: ProcessIdentity;
  /** The last of what QEMU wrote to its standard error. */
  readonly complaints: () => string;
}

export const socketNames = { qmp: "qmp.sock", control: "control.sock", egress: "egress.sock" } as const;

/** Descriptors in the child: first those of bubblewrap, then the sockets. */
const firstSocket = jailDescriptors.seccomp + 1;
const descriptors: Descriptors = { qmp: firstSocket, control: firstSocket + 1, egress: firstSocket + 2 };
/** Publishes each step of a launch, for tests that end this process there. */
const steps = channel("caisson:launch");
const startDeadlineMs = 10_000;
const keptComplaints = 8192;

/** @throws CaissonError `internal` when the jail or QEMU does not start */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const run = options.place.runDirectory;
  const sockets = await Promise.all(
    [socketNames.qmp, socketNames.control, socketNames.egress].map((name) => listenForChild(join(run, name))),
  );
  const [program, ...args] = jailedCommand({ ...options, command: options.command(descriptors) });
  const child = spawn(program, args, {
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    detached: true,
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe", ...sockets.map((socket) => socket.descriptor)],
  });
  steps.publish("spawned");
  const failure = new Promise<never>((_, reject) => {
    child.once("error", reject);
  });
  failure.catch(() => undefined);
  child.unref();
  const filter = child.stdio[jailDescriptors.seccomp] as Writable;
  // The jail may have failed before it read the filter. It never starts a program with half of one.
  filter.on("error", () => undefined);
  filter.end(jailFilter(options));
  const complaints = keepTail(child.stderr as Readable);
  await Promise.all(sockets.map((socket) => socket.release()));
  let started: ProcessIdentity | undefined;
  try {
    const pid = await Promise.race([readChildPid(child.stdio[jailDescriptors.info] as Readable), failure]);
    steps.publish("reported");
    started = await identifyProcess(pid);
    if (started === undefined) throw new Error("the process ended at once");
    await options.onProcess(started);
    steps.publish("recorded");
    return { process: started, complaints };
  } catch (cause) {
    const outer = child.pid === undefined ? undefined : await identifyProcess(child.pid);
    if (started !== undefined) await killProcess(started);
    if (outer !== undefined) await killWithChildren(outer);
    const said = complaints().trim();
    throw new CaissonError("internal", `The virtual machine monitor did not start${said === "" ? "." : `: ${said}`}`, {
      cause,
    });
  }
}

/** Reads the pipe and keeps the last bytes in memory. QEMU ignores SIGPIPE, so it survives when this reader ends. */
function keepTail(stream: Readable): () => string {
  let tail = "";
  stream.setEncoding("latin1");
  stream.on("data", (text: string) => {
    tail = (tail + text).slice(-keptComplaints);
  });
  stream.on("error", () => undefined);
  (stream as Readable & { unref?: () => void }).unref?.();
  return () => tail;
}

/** bubblewrap(1), --info-fd: a JSON object with `child-pid`, written before the command runs. */
async function readChildPid(stream: Readable): Promise<number> {
  const timer = setTimeout(() => stream.destroy(new Error("no report from the jail in time")), startDeadlineMs);
  try {
    let text = "";
    for await (const chunk of stream) {
      text += String(chunk);
      if (text.includes("}") || text.length > 4096) break;
    }
    const pid = /"child-pid":\s*(\d+)/.exec(text)?.[1];
    if (pid === undefined) throw new Error("the jail could not be set up");
    return Number(pid);
  } finally {
    clearTimeout(timer);
    stream.destroy();
  }
}
