/** A copy of this checkout that is one version newer: one more migration, and another agent. */
import { execFile } from "node:child_process";
import { appendFile, cp, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { repository } from "../world/server.ts";

const execute = promisify(execFile);

const copied = ["packages", "agent", "contract", "images", "scripts", "package.json", "package-lock.json"];

/** Table that the newer version has. */
export const newTable = "made_by_the_upgrade";

const migration = `
Object.assign(migrations, {
  "999-upgrade": {
    async up(db: { schema: { createTable(name: string): any } }) {
      await db.schema.createTable("${newTable}").addColumn("id", "text").execute();
    },
  },
});
`;

const agentChange = `package main

// upgraded makes this agent another program than the one it replaces.
var upgraded = "yes"

func init() {
	if upgraded == "" {
		panic("not upgraded")
	}
}
`;

/** @param target directory that does not exist yet */
export async function newerCheckout(target: string): Promise<void> {
  await mkdir(target);
  for (const name of copied) await cp(join(repository, name), join(target, name), { recursive: true });
  await linkModules(join(repository, "node_modules"), join(target, "node_modules"));
  await appendFile(join(target, "packages/server/src/slices.ts"), migration);
  await writeFile(join(target, "agent/upgraded.go"), agentChange);
}

/** Links to the installed packages; those of this repository lead to the copy. */
async function linkModules(from: string, to: string): Promise<void> {
  await mkdir(join(to, "@caisson"), { recursive: true });
  for (const name of await readdir(from)) if (name !== "@caisson") await symlink(join(from, name), join(to, name));
  for (const name of await readdir(join(from, "@caisson")))
    await symlink(join("../../packages", name), join(to, "@caisson", name));
}

/** A cache that shares the files of the user's own, so that another image can be set up without anybody noticing. */
export async function ownCache(target: string): Promise<void> {
  const { CAISSON_CACHE: own, XDG_CACHE_HOME: base } = process.env;
  const cache = own || join(base || join(homedir(), ".cache"), "caisson");
  await mkdir(target, { recursive: true });
  for (const name of ["agent", "images", "templates", "probe.json"])
    await execute("cp", ["-al", join(cache, name), join(target, name)]);
}

/** Builds what a checkout needs and makes it current in a cache. @throws Error with the output when it fails */
export async function setUp(checkout: string, cache: string): Promise<void> {
  await execute(process.execPath, [join(checkout, "scripts/setup.mjs"), "--for", "start"], {
    cwd: checkout,
    env: { ...process.env, CAISSON_CACHE: cache },
    timeout: 240_000,
  });
}
