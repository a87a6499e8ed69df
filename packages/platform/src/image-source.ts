/** Images for running machines. The set-up builds a missing one in a process of its own. */
import { spawn } from "node:child_process";
import { access } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ImageSource } from "@caisson/node";
import { CaissonError, type Config } from "@caisson/protocol";
import type { Logger } from "pino";

/** The set-up names what it builds after its sources. It needs only Node's built-ins and has no types. */
const artifacts = new URL("../../../scripts/setup/artifacts.mjs", import.meta.url).href;
const setup = fileURLToPath(new URL("../../../scripts/setup.mjs", import.meta.url));
/** Last lines of the set-up's output that the log of a failure repeats. */
const repeatedLines = 12;

export interface ImageSourceOptions {
  readonly config: Pick<Config, "vscode">;
  /** Ends a build. */
  readonly signal: AbortSignal;
  readonly log: Logger;
}

export function imageSource({ config, signal, log }: ImageSourceOptions): ImageSource {
  return async () => {
    if (config.vscode === "off") throw new CaissonError("unsupported", "This server offers no VS Code.");
    const path = await vscodeImage();
    if (await exists(path)) return path;
    if (config.vscode === "prepared")
      throw new CaissonError(
        "unavailable",
        "VS Code is not built on this server. Ask its operator to run: npm run vscode",
      );
    log.info("VS Code is not built yet. Building it takes some minutes.");
    const started = performance.now();
    await build(signal, log);
    log.info({ seconds: Math.round((performance.now() - started) / 1000) }, "VS Code is built");
    return path;
  };
}

async function vscodeImage(): Promise<string> {
  const { vscodeArtifact } = (await import(artifacts)) as { vscodeArtifact: () => { readonly image: string } };
  return vscodeArtifact().image;
}

/** @throws CaissonError `unavailable`; the log has the output of the set-up */
async function build(signal: AbortSignal, log: Logger): Promise<void> {
  signal.throwIfAborted();
  const child = spawn(process.execPath, [setup, "--for", "vscode"], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const stop = () => endGroup(child.pid);
  signal.addEventListener("abort", stop, { once: true });
  const last: string[] = [];
  for (const input of [child.stdout, child.stderr])
    createInterface({ input }).on("line", (line) => {
      if (line.trim() === "") return;
      log.info({ setup: line.trim() }, "building VS Code");
      last.push(line.trim());
      if (last.length > repeatedLines) last.shift();
    });
  const code = await new Promise<number | null>((resolve) => {
    child.once("error", () => resolve(null));
    child.once("close", resolve);
  });
  signal.removeEventListener("abort", stop);
  if (code === 0) return;
  log.error({ setup: last }, "VS Code could not be built");
  // The output may name paths of the host, so only the operator sees it.
  throw new CaissonError(
    "unavailable",
    "VS Code could not be built on this server; its log says why. Ask its operator to run: npm run vscode",
  );
}

/** Ends the set-up with the programs that it runs, such as npm and compilers: it does not end them itself. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGTERM");
  } catch {
    // It has ended.
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
