/** A node of its own for one test file: own home, the machine's real image and template cache, no egress proxy. */
import { mkdtemp, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { DirectoryBlobs, LocalFiles, LocalLayers } from "@caisson/layers";
import { createNode, createQemuDriver } from "@caisson/node";
import {
  type Agent,
  CaissonError,
  configSchema,
  type EgressGuard,
  type MachineSpec,
  type SandboxNode,
} from "@caisson/protocol";
import { pino } from "pino";
import { ownImage } from "../../packages/platform/src/image.ts";

export const cache =
  process.env["CAISSON_CACHE"] || join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "caisson");

/** Serves no port: these tests are about machines, and a machine that no guard serves has no network. */
export const noEgress: Pick<EgressGuard, "attach" | "detach" | "onEvents" | "onFlood"> = {
  attach: () => Promise.resolve({ caCertificatePem: "" }),
  detach: () => Promise.resolve(),
  onEvents: () => undefined,
  onFlood: () => undefined,
};

export async function temporaryHome(): Promise<string> {
  return mkdtemp(join(tmpdir(), "caisson-engine-"));
}

export interface EngineOptions {
  readonly pool?: number;
  /** Further sections of the configuration. */
  readonly config?: object;
}

export async function engine(home: string, options: EngineOptions = {}): Promise<SandboxNode> {
  // Of this checkout: others share the cache.
  const image = await ownImage();
  const config = configSchema.parse({
    pool: { size: options.pool ?? 0, minFreeMemory: 256 },
    ...options.config,
  });
  return createNode({
    id: "engine",
    home,
    cache,
    image,
    baseImage: image.key,
    config,
    images: () => Promise.reject(new CaissonError("unsupported", "This node has no images.")),
    driver: createQemuDriver(),
    egress: noEgress,
    layers: new LocalLayers(join(home, "volumes"), new DirectoryBlobs(join(home, "blobs"))),
    files: new LocalFiles(join(home, "apps")),
    log: pino({ level: process.env["LOG"] ?? "silent" }),
  });
}

/** Runs `body` with a started node and leaves nothing behind. */
export async function withEngine(
  options: EngineOptions,
  body: (node: SandboxNode, home: string) => Promise<void>,
): Promise<void> {
  const home = await temporaryHome();
  const node = await engine(home, options);
  try {
    await node.start({ wanted: [] });
    await body(node, home);
  } finally {
    await node.close("end");
    await rm(home, { recursive: true, force: true });
  }
}

let counter = 0;

export function machineSpec(overrides: Partial<MachineSpec> = {}): MachineSpec {
  const id = overrides.id ?? `engine-${process.pid}-${counter++}`;
  return {
    id,
    memory: 1280,
    vcpus: 2,
    hostname: id,
    env: {},
    volumes: [],
    egress: { policy: {}, secrets: [] },
    ...overrides,
  };
}

export interface Created {
  readonly id: string;
  readonly agent: Agent;
}

export async function create(node: SandboxNode, overrides: Partial<MachineSpec> = {}): Promise<Created> {
  const { id } = await node.machines.create(machineSpec(overrides));
  return { id, agent: node.machines.agent(id) };
}

/** Standard output of a shell command inside the machine, trimmed. */
export async function sh(machine: Pick<Created, "agent">, script: string): Promise<string> {
  const { processes } = machine.agent;
  const started = await processes.spawn({ command: "sh", args: ["-c", script], stdout: true });
  const output = await text(machine.agent.readStream(started.stdoutStream));
  const { code } = await processes.wait({ pid: started.pid });
  if (code !== 0) throw new Error(`"${script}" exited with ${code}: ${output}`);
  return output.trim();
}

/** Machine id, host name by the kernel and by its file, and how many lines of /etc/hosts name it for IPv4. */
export const identity =
  'echo $(cat /etc/machine-id) $(hostname) $(cat /etc/hostname) $(grep -c "^127.0.0.1 localhost $(hostname)$" /etc/hosts)';
