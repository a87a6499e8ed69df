/**
 * A node without virtual machines: every "machine" is the real agent in its development mode, as a process of this user in a
 * directory of its own. Nothing is isolated and there is no egress; what a sandbox runs, runs here. For tests of the control plane.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectAgent } from "@caisson/node";
import type { EgressEvent, EgressGuard, Machine, MachineExit, MachineSpec, SandboxNode } from "@caisson/protocol";

const root = join(import.meta.dirname, "../../..");

/** Builds the agent for this host; Go's cache makes a repetition cheap. @returns the path of the program */
export function buildAgent(directory: string): string {
  const path = join(directory, "agent");
  const { status, stderr } = spawnSync("go", ["build", "-o", path, "."], {
    cwd: join(root, "agent"),
    env: { ...process.env, CGO_ENABLED: "0" },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`The agent did not build: ${stderr}`);
  return path;
}

export class HostNode implements SandboxNode {
  readonly #agent: string;
  readonly #machines = new Map<string, Machine>();

  constructor(agent: string) {
    this.#agent = agent;
  }

  async start(): Promise<{ adopted: string[]; reclaimed: string[] }> {
    return { adopted: [], reclaimed: [] };
  }

  async create(spec: MachineSpec): Promise<Machine> {
    const directory = await mkdtemp(join(tmpdir(), "caisson-host-"));
    const home = join(directory, "home");
    await mkdir(home);
    const socket = join(directory, "control.sock");
    const PATH = `${join(root, "node_modules/.bin")}:${process.env["PATH"]}`;
    const child = spawn(this.#agent, ["--listen", `unix:${socket}`, "--home", home], {
      cwd: home,
      env: { PATH, HOME: home },
      stdio: ["ignore", "ignore", "pipe"],
    });
    let output = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(-4000)));
    const agent = connectAgent(socket);
    await agent.ready(10_000).catch((error: unknown) => {
      child.kill("SIGKILL");
      throw new Error(`The agent did not start: ${output}`, { cause: error });
    });
    const clockUnixNanos = BigInt(Date.now()) * 1_000_000n;
    await agent.machine.personalize({
      entropy: randomBytes(64),
      clockUnixNanos,
      machineId: randomBytes(16).toString("hex"),
      rootSerial: "root",
      growRoot: false,
    });
    await agent.machine.configure({
      hostname: spec.hostname,
      clockUnixNanos,
      env: { ...spec.env },
      caCertificatePem: "",
    });
    const exited = new Promise<MachineExit>((resolve) => {
      child.once("exit", () => {
        agent.end();
        this.#machines.delete(spec.id);
        void rm(directory, { recursive: true, force: true }).then(() => resolve({ reason: "stopped", detail: output }));
      });
    });
    const unsupported = () => Promise.reject(new Error("not without a virtual machine"));
    const machine: Machine = {
      id: spec.id,
      agent,
      exited,
      stop: async () => {
        await endTree(child);
        await exited;
      },
      usage: () => Promise.resolve({ cpuMicros: 1000, memoryBytes: 1_000_000, diskBytes: 1_000_000 }),
      whileFrozen: (_serials, action) => action(),
      attachVolume: unsupported,
      overlayDisk: unsupported,
      diskImages: () => Promise.resolve(new Map()),
    };
    this.#machines.set(spec.id, machine);
    return machine;
  }

  get(id: string): Machine | undefined {
    return this.#machines.get(id);
  }

  machines(): readonly Machine[] {
    return [...this.#machines.values()];
  }

  stand(): Promise<never> {
    return Promise.reject(new Error("not without a virtual machine"));
  }

  status(): { accelerator: "tcg"; machines: number; pooled: number; poolTarget: number; standing: number } {
    return { accelerator: "tcg", machines: this.#machines.size, pooled: 0, poolTarget: 0, standing: 0 };
  }

  async close(): Promise<void> {
    await Promise.all(this.machines().map((machine) => machine.stop()));
  }
}

/** A guard that lets everything be and tells what a test tells it to. */
export class SilentGuard implements EgressGuard {
  readonly #listeners: ((event: EgressEvent) => void)[] = [];
  validate(): void {}
  attach(): Promise<{ caCertificatePem: string }> {
    return Promise.resolve({ caCertificatePem: "" });
  }
  detach(): Promise<void> {
    return Promise.resolve();
  }
  onEvent(listener: (event: EgressEvent) => void): void {
    this.#listeners.push(listener);
  }
  emit(event: EgressEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Ends a process and all below it, by id. */
async function endTree(child: ChildProcess): Promise<void> {
  const parents = new Map<number, number>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
  }
  const below = (pid: number): number[] =>
    [...parents].filter(([, parent]) => parent === pid).flatMap(([id]) => [id, ...below(id)]);
  for (const pid of [...(child.pid === undefined ? [] : below(child.pid)), child.pid]) {
    try {
      if (pid !== undefined) process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself in the meantime.
    }
  }
}
