/** A node of its own for one test file: own home, the machine's real image and template cache, no egress proxy. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createNode, type ImageManifest } from "@caisson/node";
import { configSchema, type EgressGuard, type Machine, type MachineSpec, type SandboxNode } from "@caisson/protocol";
import { pino } from "pino";

export const cache =
  process.env["CAISSON_CACHE"] || join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "caisson");

/** Closes no port: these tests are about machines, and a machine without a guard has no network. */
export const noEgress: Pick<EgressGuard, "attach" | "detach"> = {
  attach: () => Promise.resolve({ caCertificatePem: "" }),
  detach: () => Promise.resolve(),
};

export async function temporaryHome(): Promise<string> {
  return mkdtemp(join(tmpdir(), "caisson-engine-"));
}

export async function engine(home: string, options: { pool?: number } = {}): Promise<SandboxNode> {
  const image = JSON.parse(await readFile(join(cache, "images/current.json"), "utf8")) as ImageManifest;
  const config = configSchema.parse({ pool: { size: options.pool ?? 0, minFreeMemory: 256 } });
  return createNode({
    home,
    cache,
    image,
    config,
    egress: noEgress,
    log: pino({ level: process.env["LOG"] ?? "silent" }),
  });
}

/** Runs `body` with a started node and leaves nothing behind. */
export async function withEngine(
  options: { pool?: number },
  body: (node: SandboxNode, home: string) => Promise<void>,
): Promise<void> {
  const home = await temporaryHome();
  const node = await engine(home, options);
  try {
    await node.start({ wanted: () => false });
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

/** Standard output of a shell command inside the machine, trimmed. */
export async function sh(machine: Machine, script: string): Promise<string> {
  const { processes } = machine.agent;
  const started = await processes.spawn({ command: "sh", args: ["-c", script], stdout: true });
  const output = await text(machine.agent.readStream(started.stdoutStream));
  const { code } = await processes.wait({ pid: started.pid });
  if (code !== 0) throw new Error(`"${script}" exited with ${code}: ${output}`);
  return output.trim();
}
