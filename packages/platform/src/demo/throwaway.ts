/** A platform of its own in a temporary directory, as a child process, gone without a trace afterwards. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CaissonError } from "@caisson/protocol";

export interface ThrowawayPlatform {
  /** What the server wrote to its `env` file. */
  readonly env: Readonly<Record<string, string>>;
  readonly readyLine: string;
  stop(): Promise<void>;
}

/**
 * @param config content of config.json
 * @param deadline milliseconds until it must be ready; the first start on a host makes the template
 * @throws CaissonError `unavailable` with the end of the server's log
 */
export async function startThrowaway(config: object, deadline: number): Promise<ThrowawayPlatform> {
  const home = await mkdtemp(join(tmpdir(), "caisson-demo-"));
  await writeFile(join(home, "config.json"), JSON.stringify(config));
  const child = spawn(
    process.execPath,
    ["--max-semi-space-size=8", "--max-old-space-size=2000", join(import.meta.dirname, "../main.ts")],
    {
      env: { ...process.env, CAISSON_HOME: home, CAISSON_PORT: "0", CAISSON_HTTPS_PORT: "0", CAISSON_SSH_PORT: "0" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const exited = once(child, "exit");
  let log = "";
  const keep = (text: string) => {
    log = (log + text).slice(-4000);
  };
  child.stderr.setEncoding("utf8").on("data", keep);

  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 15_000);
      await exited;
      clearTimeout(timer);
    }
    await rm(home, { recursive: true, force: true });
  };

  try {
    const readyLine = await new Promise<string>((resolve, reject) => {
      const fail = (why: string) =>
        reject(new CaissonError("unavailable", `The demo's platform ${why}. Its log ends with:\n${log}`));
      const timer = setTimeout(() => fail(`was not ready after ${deadline / 1000} s`), deadline);
      child.once("exit", (code) => fail(`ended with status ${code}`));
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        keep(text);
        const found = /^caisson ready.*$/m.exec(log);
        if (!found) return;
        clearTimeout(timer);
        resolve(found[0]);
      });
    });
    return { env: parse(await readFile(join(home, "env"), "utf8")), readyLine, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function parse(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, name = "", value = ""]) => [name, value]),
  );
}
