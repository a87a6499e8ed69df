/** Turns a clone into its owner's machine: root disk, hostname, environment, certificate authority, network, volumes. */
import { createHash } from "node:crypto";
import { processCpuMicros } from "@caisson/linux";
import { CaissonError, type EgressGuard, type MachineSpec } from "@caisson/protocol";
import type { Logger } from "pino";
import { unixNanos } from "../agent/clock.ts";
import type { RootImages, VolumeImages } from "../holdings/disk-links.ts";
import type { Clone } from "./clone.ts";
import { guestError } from "./guest-error.ts";
import { RunningMachine } from "./machine.ts";
import { rootInGuest } from "./owner-root.ts";

export interface MachineDisks {
  readonly root?: RootImages;
  readonly volumes: readonly VolumeImages[];
}

export interface HandOutOptions {
  readonly clone: Clone;
  /** Pending work on the clone. */
  readonly ready: Promise<void>;
  readonly spec: MachineSpec;
  /** The images of the disks in `spec`. */
  readonly disks: MachineDisks;
  readonly egress: Pick<EgressGuard, "attach">;
  readonly flushMs: number;
  readonly onEnd: () => Promise<void>;
  readonly log: Logger;
  readonly signal?: AbortSignal;
}

const configureDeadlineMs = 30_000;

/** @throws CaissonError; the caller then discards the clone */
export async function handOut(options: HandOutOptions): Promise<RunningMachine> {
  const { clone, spec, egress } = options;
  const { vm, agent, holdings } = clone;
  const cpuBaseMicros = (await holdings.cgroup.cpuMicros()) ?? (await processCpuMicros(vm.process.pid));
  const attachment = {
    sandboxId: spec.id,
    socketPath: vm.egressSocket,
    policy: spec.egress.policy,
    secrets: spec.egress.secrets,
    ...(spec.egress.authority === undefined ? {} : { authority: spec.egress.authority }),
  };
  const [{ caCertificatePem }] = await Promise.all([
    egress.attach(attachment, options.signal === undefined ? {} : { signal: options.signal }),
    options.ready,
  ]);
  // A machine that went on from a checkpoint had its owner then.
  const resumed = spec.checkpoint?.use === "resume";
  if (!resumed) await configure(options, caCertificatePem);
  const machine = new RunningMachine({
    id: spec.id,
    owner: spec.owner,
    flushMs: options.flushMs,
    vm,
    agent,
    holdings,
    caCertificatePem,
    onEnd: options.onEnd,
    log: options.log,
  });
  if (!resumed) for (const volume of options.disks.volumes) await machine.disks.attachVolume(volume);
  await holdings.update({
    phase: "claimed",
    machineId: spec.id,
    specDigest: specDigest(spec),
    cpuBaseMicros,
    memory: spec.memory,
  });
  return machine;
}

async function configure({ clone, spec, signal }: HandOutOptions, caCertificatePem: string): Promise<void> {
  const { vm, agent } = clone;
  const configured = agent.machine.configure(
    {
      hostname: spec.hostname,
      clockUnixNanos: unixNanos(),
      env: { ...spec.env },
      caCertificatePem,
      ...(spec.root === undefined || spec.prepared !== undefined ? {} : { root: rootInGuest(spec.root.bytes) }),
    },
    { timeoutMs: configureDeadlineMs, ...(signal === undefined ? {} : { signal }) },
  );
  const died = vm.exited.then(({ detail }) => {
    throw new CaissonError("guest_error", `The sandbox ended while it started: ${detail}`);
  });
  died.catch(() => undefined);
  await guestError(
    spec.root === undefined ? "be configured" : "start from its root disk",
    Promise.race([configured, died]),
  );
}

/** Distinguishes specifications; contains no secret of them. */
function specDigest(spec: MachineSpec): string {
  const { id, memory, vcpus, hostname, volumes, root } = spec;
  return createHash("sha256").update(JSON.stringify({ id, memory, vcpus, hostname, volumes, root })).digest("hex");
}
