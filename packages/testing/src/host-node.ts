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
import {
  type AdoptionReport,
  CaissonError,
  type EgressBatch,
  type EgressEvent,
  type FileStore,
  type LayerStore,
  type MachineExit,
  type MachineInfo,
  type MachineSpec,
  type NodeCheckpoints,
  type NodeMachines,
  type NodeStatus,
  type SandboxNode,
} from "@caisson/protocol";

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

interface HostMachine {
  readonly agent: ReturnType<typeof connectAgent>;
  readonly exited: Promise<MachineExit>;
  stop(): Promise<void>;
}

export class HostNode implements SandboxNode {
  readonly id = "nhost";
  readonly layers: LayerStore;
  readonly machines: HostMachines;
  /** None can be made: the agents are ordinary processes. */
  readonly checkpoints: NodeCheckpoints = {
    save: () => Promise.reject(new CaissonError("unsupported", "A node without machines saves none.")),
    find: () => Promise.resolve(undefined),
    list: () => Promise.resolve([]),
    remove: () => Promise.resolve(),
  };
  #events: EgressEvent[] = [];
  #wake = Promise.withResolvers<void>();

  readonly #files: FileStore | undefined;

  constructor(agent: string, layers: LayerStore, files?: FileStore) {
    this.layers = layers;
    this.#files = files;
    this.machines = new HostMachines(agent);
  }

  get files(): FileStore {
    if (this.#files === undefined) throw new CaissonError("unsupported", "This node stores no files of apps.");
    return this.#files;
  }

  async start(): Promise<AdoptionReport> {
    await this.layers.open();
    await this.#files?.open();
    return { adopted: [], reclaimed: [] };
  }

  /** What a proxy would record. */
  emit(event: EgressEvent): void {
    this.#events.push(event);
    this.#wake.resolve();
  }

  async *egressEvents({ signal }: { readonly signal: AbortSignal }): AsyncGenerator<EgressBatch> {
    const stop = () => this.#wake.resolve();
    signal.addEventListener("abort", stop, { once: true });
    while (!signal.aborted) {
      if (this.#events.length > 0) yield { events: this.#events.splice(0), lost: 0 };
      else {
        this.#wake = Promise.withResolvers();
        await this.#wake.promise;
      }
    }
  }

  async status(): Promise<NodeStatus> {
    const machines = (await this.machines.list()).length;
    return {
      accelerator: "tcg",
      baseImage: "test",
      machines,
      pooled: 0,
      poolTarget: 0,
      prepared: 0,
      started: { pool: 0, prepared: 0, restore: 0, checkpoint: 0 },
      ended: { stopped: 0, crashed: 0, evicted: 0 },
    };
  }

  async close(): Promise<void> {
    await Promise.all((await this.machines.list()).map(({ id }) => this.machines.stop(id)));
  }
}

class HostMachines implements NodeMachines {
  readonly #agent: string;
  readonly #machines = new Map<string, HostMachine>();

  constructor(agent: string) {
    this.#agent = agent;
  }

  async attachImage(): Promise<void> {
    throw new CaissonError("unsupported", "This server offers no VS Code.");
  }

  async create(spec: MachineSpec): Promise<MachineInfo> {
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
    const stop = async () => {
      await endTree(child);
      await exited;
    };
    this.#machines.set(spec.id, { agent, exited, stop });
    return { id: spec.id };
  }

  async stop(id: string): Promise<MachineExit> {
    const exited = this.waitExit(id);
    await this.#machines.get(id)?.stop();
    return exited;
  }

  async waitExit(id: string): Promise<MachineExit> {
    return (await this.#machines.get(id)?.exited) ?? { reason: "stopped", detail: "There is no such machine." };
  }

  async list(): Promise<readonly MachineInfo[]> {
    return [...this.#machines.keys()].map((id) => ({ id }));
  }

  async usage() {
    return { cpuMicros: 1000, memoryBytes: 1_000_000, diskBytes: 1_000_000 };
  }

  agent(id: string) {
    const machine = this.#machines.get(id);
    if (machine === undefined) throw new CaissonError("unavailable", `There is no machine ${id}.`);
    return machine.agent;
  }

  prepare(): Promise<never> {
    return withoutMachine();
  }

  async waitPrepared(): Promise<void> {}

  async discard(): Promise<void> {}

  setEgress(): Promise<never> {
    return withoutMachine();
  }

  overlayDisk(): Promise<never> {
    return withoutMachine();
  }

  diskLayers(): Promise<never> {
    return withoutMachine();
  }
}

function withoutMachine(): Promise<never> {
  return Promise.reject(new CaissonError("unsupported", "This needs a virtual machine."));
}

/** Ends a process and all below it, by id. The process first, so that it cannot report how the others ended: machines end at once. */
async function endTree(child: ChildProcess): Promise<void> {
  const parents = new Map<number, number>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
  }
  const below = (pid: number): number[] =>
    [...parents].filter(([, parent]) => parent === pid).flatMap(([id]) => [id, ...below(id)]);
  for (const pid of child.pid === undefined ? [] : [child.pid, ...below(child.pid)]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself in the meantime.
    }
  }
}
