/** Lets one set-up run at a time on a cache. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { SetupFailure } from "./failure.mjs";
import { cache } from "./paths.mjs";

/**
 * Takes the lock, waiting for another set-up to end. The kernel holds it for a child `flock` that ends with its standard
 * input, so a set-up that dies in any way gives it back: there is no stale lock to judge.
 * @param {() => void} waiting called once when the lock is taken by another
 * @returns {Promise<() => void>} gives the lock back
 */
export async function takeLock(waiting) {
  mkdirSync(cache, { recursive: true });
  const path = join(cache, "setup.lock");
  const child = spawn("flock", [path, "sh", "-c", "echo locked; exec cat >/dev/null"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const timer = setTimeout(waiting, 300);
  try {
    await new Promise((done, failed) => {
      child.once("error", failed);
      child.once("exit", (code) => failed(new Error(`flock ended with exit code ${code}`)));
      child.stdout.once("data", done);
    });
  } catch (error) {
    throw new SetupFailure(
      `The lock ${path} cannot be taken: ${error.message}`,
      "Install Debian's package util-linux.",
    );
  } finally {
    clearTimeout(timer);
  }
  return () => child.stdin.end();
}
