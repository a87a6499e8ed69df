/** The state directory of one installation: who owns it, what it is configured to be, how scripts find the running server. */
import { chmod, mkdir, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { CaissonError, configSchema, type Config } from "@caisson/protocol";
import { z } from "zod";

/** `CAISSON_HOME`, by default `~/.caisson`. */
export function homeDirectory(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(env["CAISSON_HOME"] || join(homedir(), ".caisson"));
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
 * Creates the directory (mode 700) and takes its lock. The lock of a server that died is taken over.
 * @throws CaissonError `already_exists` when another server runs there
 */
export async function lockHome(home: string): Promise<HomeLock> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  await chmod(home, 0o700);
  const path = join(home, "server.lock");
  const self = `${process.pid} ${await startTime(process.pid)}\n`;
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const file = await open(path, "wx", 0o600);
      await file.writeFile(self);
      await file.close();
      return { release: () => rm(path, { force: true }) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const [pid = "", started = ""] = (await readFile(path, "utf8").catch(() => "")).trim().split(" ");
    // The start time tells a living owner from another process that was given its number.
    if (pid !== "" && (await startTime(Number(pid))) === started) {
      throw new CaissonError(
        "already_exists",
        `A Caisson server (pid ${pid}) already runs on ${home}. Stop it, or set CAISSON_HOME to another directory.`,
      );
    }
    await rm(path, { force: true });
  }
  throw new CaissonError("unavailable", `Could not take ${path}; another server is starting there.`);
}

/** Field 22 of /proc/pid/stat, or "" when there is no such process. */
async function startTime(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
}

/** Writes `$CAISSON_HOME/env`, mode 600, for `. env` in a shell: what the official clients read, and where things are. */
export async function writeEnvironment(home: string, values: Readonly<Record<string, string>>): Promise<string> {
  const path = join(home, "env");
  const text = Object.entries(values).map(([name, value]) => `export ${name}='${value.replaceAll("'", `'\\''`)}'\n`);
  await writeFile(`${path}.new`, text.join(""), { mode: 0o600 });
  await rename(`${path}.new`, path);
  return path;
}
