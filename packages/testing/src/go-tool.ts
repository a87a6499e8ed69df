/** Programs for tests that are written in Go. They are built once, by the Go proxy, into the cache of this machine. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";

const run = promisify(execFile);

/**
 * @param module path of the program's package
 * @param version as in go.mod
 * @returns its path; undefined where there is no Go or the proxy cannot be reached
 */
export async function goTool(module: string, version: string): Promise<string | undefined> {
  const cache = process.env["CAISSON_CACHE"] ?? join(homedir(), ".cache", "caisson");
  const directory = join(cache, "test-tools", `${module}@${version}`.replaceAll("/", "_"));
  const path = join(directory, module.split("/").at(-1)!);
  if (existsSync(path)) return path;
  try {
    const env = { ...process.env, GOBIN: directory, GOFLAGS: "-mod=mod" };
    await run("go", ["install", `${module}@${version}`], { env, timeout: 300_000 });
    return path;
  } catch {
    return undefined;
  }
}
