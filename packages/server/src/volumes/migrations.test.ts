import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { pino } from "pino";
import { openDatabase } from "../kernel/database/open.ts";
import { migrations } from "../slices.ts";

const log = pino({ level: "silent" });

test("after an upgrade every layer belongs to the organisation whose volume or snapshot needs it", async () => {
  const home = await mkdtemp(join(tmpdir(), "caisson-migration-"));
  const { "2026-12-02-layer-1-orgs": _1, "2026-12-02-layer-2-bytes": _2, ...former } = migrations;
  try {
    const before = await openDatabase({ home, migrations: former, log });
    const layer = (id: string, parent: string | null, kind = "plain") => ({
      id,
      parent,
      kind,
      node_id: "n1",
      state: "ready",
      sealed: 1,
      formatted_bytes: 0,
      generation: 0,
      created_at: 1,
    });
    const volume = (id: string, org_id: string, head: string) => ({
      id,
      org_id,
      head,
      slug: id,
      region: "ord",
      capacity: 1,
      bootable: 0,
      state: "ready",
      allocated_bytes: 0,
      flattened_bytes: 0,
      measured_at: 0,
      created_at: 1,
    });
    for (const id of ["a", "b"]) await before.insertInto("orgs").values({ id, slug: id, created_at: 1 }).execute();
    await before
      .insertInto("layers")
      .values([
        layer("builtin", null, "builtin"),
        layer("a1", "builtin", "root"),
        layer("a2", "a1", "root"),
        layer("a3", "a2", "root"),
        layer("b1", "builtin", "root"),
        layer("unused", null),
      ])
      .execute();
    await before
      .insertInto("volumes")
      .values([volume("va", "a", "a3"), volume("vb", "b", "b1")])
      .execute();
    await before.destroy();
    const after = await openDatabase({ home, migrations, log });
    const rows = await after.selectFrom("layers").select(["id", "org_id"]).orderBy("id").execute();
    assert.deepEqual(
      rows.map(({ id, org_id }) => [id, org_id]),
      [
        ["a1", "a"],
        ["a2", "a"],
        ["a3", "a"],
        ["b1", "b"],
        ["builtin", null],
        ["unused", null],
      ],
    );
    await after.destroy();
  } finally {
    await rm(home, { recursive: true });
  }
});
