/** Virtual environments with packages of PyPI. Each is made once per host, in the cache. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** 0.10.0: the release that the contract was taken from. 0.16.0: what users install today. */
type ClientVersion = "0.10.0" | "0.16.0";

const made = new Map<string, Promise<string>>();

/** Path of the interpreter that has the official client. @throws Error when no suitable Python is there or it cannot be installed */
export function pythonEnvironment(version: ClientVersion = "0.10.0"): Promise<string> {
  return pythonWith(`deno-sandbox==${version}`);
}

/**
 * Path of an interpreter that has these packages; their programs are beside it.
 * @param packages with their versions, such as `boto3==1.42.0`
 */
export function pythonWith(...packages: readonly string[]): Promise<string> {
  const name = packages.join("+").replaceAll("==", "-");
  const environment = made.get(name) ?? make(name, packages);
  made.set(name, environment);
  return environment;
}

async function make(name: string, packages: readonly string[]): Promise<string> {
  const cache =
    process.env["CAISSON_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "caisson");
  const directory = join(cache, "venv", name);
  const python = join(directory, "bin/python");
  const marker = join(directory, "complete");
  if (existsSync(marker)) return python;
  const draft = `${directory}.${process.pid}`;
  await mkdir(join(cache, "venv"), { recursive: true });
  await rm(draft, { recursive: true, force: true });
  await execute(await interpreter(), ["-m", "venv", draft]);
  await execute(
    join(draft, "bin/python"),
    ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages],
    {
      timeout: 900_000,
    },
  );
  await execute(join(draft, "bin/python"), ["-c", `open(${JSON.stringify(join(draft, "complete"))}, "w").close()`]);
  await rm(directory, { recursive: true, force: true });
  await rename(draft, directory).catch(async (error: unknown) => {
    // Another run was faster.
    if (!existsSync(marker)) throw error;
    await rm(draft, { recursive: true, force: true });
  });
  return python;
}

async function interpreter(): Promise<string> {
  for (const candidate of ["python3", "python3.13", "python3.12", "python3.11", "python3.10"]) {
    try {
      const { stdout } = await execute(candidate, [
        "-c",
        "import sys, venv, ensurepip; print(sys.version_info >= (3, 10))",
      ]);
      if (stdout.trim() === "True") return candidate;
    } catch {
      // Not there, or without venv: the next one.
    }
  }
  throw new Error("The conformance suite needs Python 3.10 or later with the venv module (Debian: python3-venv).");
}
