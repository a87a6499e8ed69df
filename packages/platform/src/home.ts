/** The state directory of one installation: who owns it, what it is configured to be, how scripts find the running server. */
import { randomBytes } from "node:crypto";
import { access, chmod, mkdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { createFile, replaceFile, takeFileLock } from "@caisson/linux";
import { CaissonError, configSchema, type Config, type NodeId } from "@caisson/protocol";
import { databaseFile } from "@caisson/server/operator";
import { z } from "zod";

/** `CAISSON_HOME`, by default `~/.caisson`. */
export function homeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(env["CAISSON_HOME"] || join(homedir(), ".caisson"));
}

/**
 * The home of an installation that exists: a command for operators must not make one where it finds none, and say that all is well.
 * @throws CaissonError `not_found`
 */
export async function existingHome(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  const home = homeDirectory(env);
  const needed = env["DATABASE_URL"] ? home : join(home, databaseFile);
  await access(needed).catch((cause: unknown) => {
    throw new CaissonError("not_found", `${needed} does not exist. Set CAISSON_HOME to the home of the server.`, {
      cause,
    });
  });
  return home;
}

/** `CAISSON_CACHE`, by default `caisson` in the user's cache directory: what depends only on its recipe and this host. */
export function cacheDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(env["CAISSON_CACHE"] || join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "caisson"));
}

const portVariables = [
  ["CAISSON_PORT", "port"],
  ["CAISSON_HTTPS_PORT", "httpsPort"],
  ["CAISSON_SSH_PORT", "sshPort"],
] as const;

/**
 * Reads `config.json` (absent: all defaults) and lays the port variables over it.
 * @throws CaissonError `invalid_argument` that names the key and what is wrong with it
 */
export async function loadConfig(home: string, env: NodeJS.ProcessEnv = process.env): Promise<Config> {
  const path = join(home, "config.json");
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch (cause) {
    throw new CaissonError("invalid_argument", `${path} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  const overrides: Record<string, number> = {};
  for (const [variable, key] of portVariables) {
    const value = env[variable];
    if (value !== undefined && value !== "") overrides[key] = Number(value);
  }
  const parsed = configSchema.safeParse(
    typeof raw === "object" && raw !== null && !Array.isArray(raw) ? { ...raw, ...overrides } : raw,
  );
  if (!parsed.success) {
    throw new CaissonError(
      "invalid_argument",
      `${path} and the CAISSON_* variables:\n${z.prettifyError(parsed.error)}`,
    );
  }
  return parsed.data;
}

/** Held while a server uses the directory; two servers on one home would adopt each other's sandboxes. */
export interface HomeLock {
  release(): Promise<void>;
}

/**
 * Creates the directory (mode 700) and takes its lock, which the kernel gives back when the server ends, however it ends.
 * @throws CaissonError `already_exists` when another server runs there
 */
export async function lockHome(home: string): Promise<HomeLock> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  await chmod(home, 0o700);
  const path = join(home, "server.lock");
  const lock = await takeFileLock(path);
  if (lock === undefined) {
    const pid = (await readFile(path, "utf8").catch(() => "")).trim();
    const owner = /^\d+$/.test(pid) ? ` (pid ${pid})` : "";
    throw new CaissonError(
      "already_exists",
      `A Caisson server${owner} already runs on ${home}. Stop it, or set CAISSON_HOME to another directory.`,
    );
  }
  await lock.file.truncate(0);
  await lock.file.write(`${process.pid}\n`);
  return {
    async release() {
      await lock.file.truncate(0);
      await lock.release();
    },
  };
}

/**
 * The id of the node on this home: made on the first start, and the same ever after.
 * @param former the node whose rows are in the database of this home, when that is known. Asked only when the file is missing
 * @throws CaissonError `invalid_argument` when the file is damaged
 */
export async function nodeIdOf(home: string, former?: () => Promise<NodeId | undefined>): Promise<NodeId> {
  const path = join(home, "node-id");
  const known = await readNodeId(path);
  if (known !== undefined) return known;
  const id = (await former?.()) ?? `n${randomBytes(8).toString("hex")}`;
  // Another process, such as the check of volumes, may have made one in the meantime.
  return (await createFile(path, `${id}\n`)) ? id : (await readNodeId(path))!;
}

/** Undefined when there is no file. */
async function readNodeId(path: string): Promise<NodeId | undefined> {
  const text = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined || /^n[0-9a-f]{16}\n$/.test(text)) return text?.trim();
  throw new CaissonError(
    "invalid_argument",
    `${path} is damaged: it does not hold the id of a node. Restore it from your backup. Without a backup: with the embedded database delete it, and the next start takes the id from there; with PostgreSQL write the id of this node from the table "nodes" into it.`,
  );
}

/** Writes `$CAISSON_HOME/env`, mode 600, for `. env` in a shell: what the official clients read, and where things are. */
export async function writeEnvironment(home: string, values: Readonly<Record<string, string>>): Promise<string> {
  const path = join(home, "env");
  const text = Object.entries(values).map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`);
  await replaceFile(path, text.join(""));
  return path;
}
