import { sql, type Kysely } from "kysely";

/** Volumes, snapshots, and the image layers under them. */
export async function volumes(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("layers")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("parent", "text", (column) => column.references("layers.id"))
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("sealed", "integer", (column) => column.notNull())
    .addColumn("formatted_bytes", "bigint", (column) => column.notNull())
    .addColumn("generation", "bigint", (column) => column.notNull())
    .addColumn("checksum", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("layers_parent").on("layers").column("parent").execute();
  await db.schema
    .createTable("volumes")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id"))
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("region", "text", (column) => column.notNull())
    .addColumn("capacity", "bigint", (column) => column.notNull())
    .addColumn("bootable", "integer", (column) => column.notNull())
    .addColumn("base_image", "text")
    .addColumn("base_snapshot", "text")
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("head", "text", (column) => column.notNull().references("layers.id"))
    .addColumn("attached_to", "text")
    .addColumn("allocated_bytes", "bigint", (column) => column.notNull())
    .addColumn("flattened_bytes", "bigint", (column) => column.notNull())
    .addColumn("measured_at", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("deleted_at", "bigint")
    .addColumn("reclaim_at", "bigint")
    .execute();
  await db.schema.createIndex("volumes_org").on("volumes").columns(["org_id", "state", "created_at"]).execute();
  await db.schema
    .createTable("snapshots")
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id"))
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("region", "text", (column) => column.notNull())
    .addColumn("capacity", "bigint", (column) => column.notNull())
    .addColumn("bootable", "integer", (column) => column.notNull())
    .addColumn("base_image", "text")
    .addColumn("volume", "text", (column) => column.notNull())
    .addColumn("volume_slug", "text", (column) => column.notNull())
    .addColumn("state", "text", (column) => column.notNull())
    .addColumn("layer", "text", (column) => column.notNull().references("layers.id"))
    .addColumn("next_head", "text", (column) => column.references("layers.id"))
    .addColumn("allocated_bytes", "bigint", (column) => column.notNull())
    .addColumn("flattened_bytes", "bigint", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("snapshots_org").on("snapshots").columns(["org_id", "state", "created_at"]).execute();
  await db.schema
    .createTable("volume_slugs")
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id"))
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("owner", "text", (column) => column.notNull())
    .addPrimaryKeyConstraint("volume_slugs_key", ["org_id", "slug"])
    .execute();
  await db.schema
    .createTable("disk_leases")
    .addColumn("sandbox", "text", (column) => column.notNull())
    .addColumn("serial", "text", (column) => column.notNull())
    .addColumn("layer", "text", (column) => column.notNull().references("layers.id"))
    .addColumn("volume", "text", (column) => column.references("volumes.id"))
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("disk_leases_key", ["sandbox", "serial"])
    .execute();
}

/** The node that stores a layer, and the volumes and snapshots made of it. Null: written before there were nodes. */
export async function nodes(db: Kysely<unknown>): Promise<void> {
  for (const table of tablesOfNodes) {
    await db.schema.alterTable(table).addColumn("node_id", "text").execute();
    await db.schema.createIndex(`${table}_node`).on(table).column("node_id").execute();
  }
}

/** What is damaged, and copies at rest that belong to no layer. */
export async function damage(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("damages")
    .addColumn("node_id", "text", (column) => column.notNull())
    .addColumn("subject", "text", (column) => column.notNull())
    .addColumn("kind", "text", (column) => column.notNull())
    .addColumn("reason", "text", (column) => column.notNull())
    .addColumn("depth", "text", (column) => column.notNull())
    .addColumn("found_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("damages_key", ["node_id", "subject"])
    .execute();
  await db.schema
    .createTable("unknown_copies")
    .addColumn("node_id", "text", (column) => column.notNull())
    .addColumn("digest", "text", (column) => column.notNull())
    .addColumn("found_at", "bigint", (column) => column.notNull())
    .addPrimaryKeyConstraint("unknown_copies_key", ["node_id", "digest"])
    .execute();
}

/** The sandbox whose machine may still write a sealed layer. */
export async function holders(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("layers").addColumn("held_by", "text").execute();
  // Machines may have outlived the server's former version.
  await sql`update layers set held_by = (
    select disk_leases.sandbox from snapshots join disk_leases on disk_leases.volume = snapshots.volume
    where snapshots.layer = layers.id and snapshots.created_at >= disk_leases.created_at limit 1)`.execute(db);
}

/** Whose data a layer holds. */
export async function layerOrgs(db: Kysely<unknown>): Promise<void> {
  await db.schema.createIndex("volumes_head").ifNotExists().on("volumes").column("head").execute();
  await db.schema.createIndex("snapshots_layer").ifNotExists().on("snapshots").column("layer").execute();
  await db.schema.alterTable("layers").addColumn("org_id", "text").execute();
}

/** What images take. Layers of before get the organisation of the volumes and snapshots that need them. */
export async function layerBytes(db: Kysely<unknown>): Promise<void> {
  await db.schema.createIndex("layers_org").ifNotExists().on("layers").column("org_id").execute();
  await sql`update layers set org_id = coalesce(
    (select org_id from volumes where volumes.head = layers.id),
    (select org_id from snapshots where snapshots.layer = layers.id limit 1),
    (select org_id from snapshots where snapshots.next_head = layers.id limit 1),
    (select snapshots.org_id from snapshots where snapshots.layer = layers.parent limit 1)
  ) where kind <> 'builtin'`.execute(db);
  for (let changed = 1n; changed > 0n;) {
    const { numAffectedRows = 0n } = await sql`update layers set org_id =
      (select child.org_id from layers child where child.parent = layers.id and child.org_id is not null limit 1)
      where org_id is null and kind <> 'builtin' and exists
      (select 1 from layers child where child.parent = layers.id and child.org_id is not null)`.execute(db);
    changed = numAffectedRows;
  }
  await db.schema.alterTable("layers").addColumn("bytes", "bigint").execute();
}

/** Tables whose rows belong to one node. */
export const tablesOfNodes = ["layers", "volumes", "snapshots", "disk_leases"] as const;
