/** Volumes with their real parts but without machines: database, qcow2 images, and QEMU's tools in the place of the guest. */
import { execFileSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { pino } from "pino";
import { configSchema } from "@caisson/protocol";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { openDatabase } from "../../packages/server/src/kernel/database/open.ts";
import type { VolumeContext } from "../../packages/server/src/layers/context.ts";
import { KeyedLock } from "../../packages/server/src/kernel/keyed-lock.ts";
import type { VolumeDatabase } from "../../packages/server/src/layers/tables.ts";
import { migrations } from "../../packages/server/src/slices.ts";
import { checkVolumes } from "../../packages/server/src/volumes/check.ts";
import { Janitor } from "../../packages/server/src/volumes/janitor.ts";

/** A machine as far as its disks go. */
export interface DiskHolder {
  overlayDisk(serial: string, overlay: string): Promise<void>;
  diskLayers(): Promise<Readonly<Record<string, string>>>;
}

export interface Workbench {
  readonly ctx: VolumeContext;
  readonly org: string;
  readonly directory: string;
  /** Machines by sandbox id. */
  readonly machines: Map<string, DiskHolder>;
  /** Runs background passes until there is nothing left to do. */
  settle(): Promise<void>;
  /** Throws unless store and disk agree. */
  assertSound(): Promise<void>;
  /** Writes into, or reads from, the head of a volume as a guest would: commands of qemu-io. */
  io(volumeId: string, ...commands: string[]): Promise<string>;
  /** The same for a layer, read-only. */
  read(layer: string, ...commands: string[]): string;
  close(): Promise<void>;
}

export interface WorkbenchOptions {
  /** Use this home and keep it. */
  readonly directory?: string;
  /** PostgreSQL instead of the embedded database; emptied on close. */
  readonly databaseUrl?: string | undefined;
  /** Of several on one database: all but the first are closed before it. Default: the first, `n1`. */
  readonly nodeId?: string;
}

/** @param volumes keys of the configuration's `volumes` */
export async function openWorkbench(
  volumes: object = {},
  { directory, databaseUrl, nodeId = "n1" }: WorkbenchOptions = {},
): Promise<Workbench> {
  const home = directory ?? (await mkdtemp(join(tmpdir(), "caisson-volumes-")));
  const log = pino({ level: process.env["CAISSON_LOG_LEVEL"] ?? "silent" });
  const db: VolumeDatabase = await openDatabase({ home, url: databaseUrl, migrations, log });
  const org = "org-1";
  await db
    .insertInto("orgs")
    .values({ id: org, slug: "one", created_at: 1, concurrent_sandboxes: null })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const images = join(home, "volumes", "layers");
  const layers = new LocalLayers(images, new DirectoryBlobs(join(home, "volumes", "blobs")));
  await layers.open();
  const machines = new Map<string, DiskHolder>();
  const machineOf = (id: string): DiskHolder => {
    const machine = machines.get(id);
    if (machine === undefined) throw new Error(`There is no machine ${id}.`);
    return machine;
  };
  const config = configSchema.parse({ volumes: { minFreeDisk: 0, ...volumes } });
  const ctx: VolumeContext = {
    db,
    lockRows: databaseUrl !== undefined,
    layers,
    config,
    nodeId,
    machines: {
      overlayDisk: (id, serial, overlay) => machineOf(id).overlayDisk(serial, overlay),
      diskLayers: (id) => machineOf(id).diskLayers(),
    },
    baseImage: () => "base-1",
    running: (id) => machines.has(id),
    ending: () => undefined,
    locks: new KeyedLock(),
    log,
  };
  const janitor = new Janitor(ctx, { patience: 0 });
  const path = (layer: string) => join(images, `${layer}.qcow2`);
  const run = (image: string, flags: string[], commands: string[]) => {
    const output = execFileSync("qemu-io", [...flags, ...commands.flatMap((command) => ["-c", command]), image], {
      encoding: "utf8",
    });
    if (/failed|error/i.test(output)) throw new Error(output);
    return output;
  };
  return {
    ctx,
    org,
    directory: home,
    machines,
    async settle() {
      for (let pass = 0; pass < 50; pass++) if (!(await janitor.run(new AbortController().signal))) return;
      throw new Error("The background work does not end.");
    },
    async assertSound() {
      const { faults } = await checkVolumes(ctx, { running: (id) => machines.has(id) });
      if (faults.length > 0) throw new Error(JSON.stringify(faults, null, 1));
    },
    async io(volumeId, ...commands) {
      const { head } = await db
        .selectFrom("volumes")
        .select("head")
        .where("id", "=", volumeId)
        .executeTakeFirstOrThrow();
      // Without it the file system may give the file its blocks later, and what it takes would be counted too early.
      return run(path(head), [], [...commands, "flush"]);
    },
    read: (layer, ...commands) => run(path(layer), ["-r"], commands),
    async close() {
      if (databaseUrl !== undefined && nodeId === "n1")
        await sql`drop schema public cascade; create schema public`.execute(db);
      await db.destroy();
      if (directory === undefined) await rm(home, { recursive: true });
    },
  };
}
