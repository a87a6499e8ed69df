/** Finds a Go compiler that is new enough for the guest agent. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { root } from "./paths.mjs";

/** @returns {[number, number]} major and minor version that agent/go.mod asks for */
export function requiredGo() {
  const found = /^go (\d+)\.(\d+)/m.exec(readFileSync(join(root, "agent/go.mod"), "utf8"));
  return [Number(found?.[1] ?? 1), Number(found?.[2] ?? 0)];
}

/** @returns {string | null} path of the first suitable `go` on PATH */
export function findGo() {
  const [major, minor] = requiredGo();
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const command = join(directory, "go");
    if (directory === "" || !existsSync(command)) continue;
    try {
      const found = /go(\d+)\.(\d+)/.exec(
        execFileSync(command, ["version"], { encoding: "utf8", env: goEnvironment() }),
      );
      if (found !== null && (Number(found[1]) > major || (Number(found[1]) === major && Number(found[2]) >= minor)))
        return command;
    } catch {
      // Something else that is called go, or one that does not run here.
    }
  }
  return null;
}

/** The compiler that is there is the one to use: a set-up must not download another behind the user's back. */
export const goEnvironment = () => ({ ...process.env, GOTOOLCHAIN: "local" });
