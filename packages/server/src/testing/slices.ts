/** Slices over a real database, without the server around them: for what needs neither HTTP nor machines. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { configSchema } from "@caisson/protocol";
import { startPostgres } from "@caisson/testing";
import { pino } from "pino";
import type { AnyDatabase } from "../kernel/database/open.ts";
import { openDatabase } from "../kernel/database/open.ts";
import type { Org } from "../kernel/http/context.ts";
import { createSealer } from "../kernel/sealing.ts";
import { Services } from "../kernel/services.ts";
import type { Kernel, Slice, SliceParts } from "../kernel/slice.ts";
import { Tokens } from "../orgs/tokens.ts";
import { migrations } from "../slices.ts";

export interface TestSlices {
  readonly home: string;
  readonly db: AnyDatabase;
  readonly org: Org;
  readonly services: Services;
  readonly parts: readonly SliceParts[];
  close(): Promise<void>;
}

export interface TestSlicesOptions {
  readonly database: "SQLite" | "PostgreSQL";
  /** In their order. They can use no part of the kernel that needs a machine. */
  readonly slices: readonly Slice[];
  readonly config?: unknown;
}

export async function openSlices({ database, slices, config = {} }: TestSlicesOptions): Promise<TestSlices> {
  const home = await mkdtemp(join(tmpdir(), "caisson-slices-"));
  const log = pino({ level: "silent" });
  const postgres = database === "PostgreSQL" ? await startPostgres() : undefined;
  const db = await openDatabase({ home, url: postgres?.url, migrations, log });
  const services = new Services();
  const kernel = {
    config: configSchema.parse(config),
    db,
    lockRows: postgres !== undefined,
    sealer: createSealer(Buffer.alloc(32, 1)),
    log,
    services,
    publicUrl: () => "http://localhost",
  } as unknown as Kernel;
  const parts: SliceParts[] = [];
  for (const slice of slices) parts.push(await slice.setup(kernel));
  return {
    home,
    db,
    org: await new Tokens(db).createOrg("first"),
    services,
    parts,
    async close() {
      for (const part of parts.toReversed()) await part.stop?.("end");
      await db.destroy();
      await postgres?.stop();
      await rm(home, { recursive: true });
    },
  };
}
