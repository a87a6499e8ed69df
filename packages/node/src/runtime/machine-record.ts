/** The record of a machine on disk: what a later process needs to adopt the machine or to remove it. Contains no secret. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";

/** Never gets more fields: it names one process. */
const processIdentity = z.object({
  pid: z.int().min(2),
  startTime: z.string().regex(/^\d+$/),
  bootId: z.string(),
});

/**
 * Fields that this version does not know are kept: a later version may have written them, and reads them again. The version number grows
 * only when a server that does not know the change would do harm to the machine.
 */
const recordSchema = z.looseObject({
  version: z.literal(1),
  key: z.string().regex(/^[0-9a-f]{12}$/),
  /** Only a `claimed` machine outlives the node's process. */
  phase: z.enum(["starting", "pooled", "claimed"]),
  /** Present once claimed. */
  machineId: z.string().min(1).optional(),
  /**
   * Its end has begun: its programs are being killed and its volumes written. Who finds it alive ends it. A version that does not know
   * the field takes it over, with file systems that cannot be written any more.
   */
  ending: z.boolean().optional(),
  /** Digest of the specification, without environment and secrets. */
  specDigest: z.string().optional(),
  template: z.string(),
  /** MiB. */
  memory: z.int(),
  vcpus: z.int(),
  /** The virtual machine monitor, once it runs. */
  process: processIdentity.optional(),
  /** Unprivileged user of the monitor; absent when it runs as our own. */
  uid: z.int().optional(),
  /** Directories that the cgroup adapter made. */
  cgroups: z.array(z.string()),
  /** Processor time that the machine had used before it got its owner, microseconds. */
  cpuBaseMicros: z.number().min(0),
  /** Disks that outlive the machine. */
  disks: z.array(
    z.looseObject({
      serial: z.string(),
      /** The disk that the root file system is on. */
      root: z.boolean(),
      readOnly: z.boolean(),
      /** Absolute paths: the image it was attached with, then each overlay laid over it. */
      images: z.array(z.string()).min(1),
    }),
  ),
});

/** What a record of every version has. */
const anyRecordSchema = z.looseObject({
  version: z.int().min(1),
  key: z.string().regex(/^[0-9a-f]{12}$/),
  machineId: z.string().min(1).optional(),
  process: processIdentity.optional(),
  uid: z.int().optional(),
});

/** A record of a version that this one does not know. */
export type NewerRecord = z.infer<typeof anyRecordSchema>;

export type MachineRecord = z.infer<typeof recordSchema>;

const fileName = "machine.json";

/** Replaces the record atomically: a reader finds the old one or the new one, never half of one. */
export async function writeRecord(runDirectory: string, record: MachineRecord): Promise<void> {
  const path = join(runDirectory, fileName);
  const next = `${path}.new`;
  await writeFile(next, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  await rename(next, path);
}

/** @returns undefined when there is no record, or one that this version cannot read */
export async function readRecord(runDirectory: string): Promise<MachineRecord | undefined> {
  return recordSchema.safeParse(await readJson(runDirectory)).data;
}

/** @returns undefined when there is no record of a newer version */
export async function readNewerRecord(runDirectory: string): Promise<NewerRecord | undefined> {
  const { data } = anyRecordSchema.safeParse(await readJson(runDirectory));
  return data === undefined || data.version <= 1 ? undefined : data;
}

async function readJson(runDirectory: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(runDirectory, fileName), "utf8"));
  } catch {
    return undefined;
  }
}
