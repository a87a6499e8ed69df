/** The option that makes Deno run our prelude before a program. */
import { readFileSync } from "node:fs";

/** Of the instance. Cron jobs are listed and run through it. */
export const cronSocket = "/tmp/.caisson-cron.sock";

const source = readFileSync(new URL("prelude.js", import.meta.url), "utf8");

/** @param socket another one in tests, where instances share a file system */
export function preludeOption(socket = cronSocket): string {
  const code = Buffer.from(source.replace('"SOCKET"', JSON.stringify(socket)));
  return `--preload=data:application/javascript;base64,${code.toString("base64")}`;
}
