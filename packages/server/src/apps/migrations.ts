import type { Kysely } from "kysely";

/** SQLite runs no migration in a transaction: everything can be repeated after a crash. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("apps")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id"))
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("labels", "text", (column) => column.notNull())
    .addColumn("config", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addColumn("deleted_at", "bigint")
    .execute();
  // A deleted app leaves its slug to others at once.
  await db.schema
    .createIndex("apps_slug")
    .ifNotExists()
    .unique()
    .on("apps")
    .columns(["org_id", "slug"])
    .where("deleted_at" as never, "is", null)
    .execute();
  await db.schema.createIndex("apps_org").ifNotExists().on("apps").columns(["org_id", "created_at", "id"]).execute();
  await db.schema.createIndex("apps_deleted").ifNotExists().on("apps").columns(["deleted_at"]).execute();
  await db.schema
    .createTable("app_labels")
    .ifNotExists()
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("filter", "text", (column) => column.notNull())
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addPrimaryKeyConstraint("app_labels_key", ["org_id", "filter", "created_at", "app_id"])
    .execute();
  await db.schema.createIndex("app_labels_app").ifNotExists().on("app_labels").column("app_id").execute();
  await configLayers(db);
  await db.schema
    .createTable("env_vars")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull())
    .addColumn("app_id", "text", (column) => column.references("apps.id").onDelete("cascade"))
    .addColumn("layer_id", "text", (column) => column.references("config_layers.id").onDelete("cascade"))
    .addColumn("position", "integer", (column) => column.notNull())
    .addColumn("key", "text", (column) => column.notNull())
    .addColumn("secret", "integer", (column) => column.notNull())
    .addColumn("contexts", "text")
    .addColumn("sealed", "text", (column) => column.notNull())
    .execute();
  await db.schema.createIndex("env_vars_app").ifNotExists().on("env_vars").column("app_id").execute();
  await db.schema.createIndex("env_vars_layer").ifNotExists().on("env_vars").column("layer_id").execute();
}

async function configLayers(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable("config_layers")
    .ifNotExists()
    .addColumn("id", "text", (column) => column.primaryKey())
    .addColumn("org_id", "text", (column) => column.notNull().references("orgs.id"))
    .addColumn("slug", "text", (column) => column.notNull())
    .addColumn("description", "text")
    .addColumn("created_at", "bigint", (column) => column.notNull())
    .addColumn("updated_at", "bigint", (column) => column.notNull())
    .addUniqueConstraint("config_layers_slug", ["org_id", "slug"])
    .execute();
  await db.schema
    .createIndex("config_layers_org")
    .ifNotExists()
    .on("config_layers")
    .columns(["org_id", "created_at", "id"])
    .execute();
  await db.schema
    .createTable("app_config_layers")
    .ifNotExists()
    .addColumn("app_id", "text", (column) => column.notNull().references("apps.id").onDelete("cascade"))
    .addColumn("position", "integer", (column) => column.notNull())
    .addColumn("layer_id", "text", (column) => column.notNull().references("config_layers.id"))
    .addPrimaryKeyConstraint("app_config_layers_key", ["app_id", "position"])
    .execute();
  await db.schema
    .createIndex("app_config_layers_layer")
    .ifNotExists()
    .on("app_config_layers")
    .column("layer_id")
    .execute();
  await db.schema
    .createTable("config_layer_includes")
    .ifNotExists()
    .addColumn("layer_id", "text", (column) => column.notNull().references("config_layers.id").onDelete("cascade"))
    .addColumn("position", "integer", (column) => column.notNull())
    .addColumn("included_id", "text", (column) => column.notNull().references("config_layers.id"))
    .addPrimaryKeyConstraint("config_layer_includes_key", ["layer_id", "position"])
    .execute();
  await db.schema
    .createIndex("config_layer_includes_other")
    .ifNotExists()
    .on("config_layer_includes")
    .column("included_id")
    .execute();
}
