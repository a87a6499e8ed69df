/** Marks of lines, as `preload.mjs` makes them in instances: the level, and the request that a line belongs to. */
import { readFileSync } from "node:fs";
import type { LogLevel } from "@caisson/api";

const source = readFileSync(new URL("./preload.mjs", import.meta.url), "base64");
/** A module that both runtimes load from their command line: nothing has to be in the image or in the files of an app. */
export const preload = `data:text/javascript;base64,${source}`;

const levels: Readonly<Record<string, LogLevel>> = {
  debug: "debug",
  log: "info",
  info: "info",
  warn: "warn",
  error: "error",
};
// eslint-disable-next-line no-control-regex
const mark = /^\u001E([a-z]{3,5})-(?:([0-9a-f]{32})-([0-9a-f]{16}))?\u001F/;

export interface PrintedLine {
  readonly level: LogLevel;
  readonly message: string;
  readonly traceId?: string;
  readonly spanId?: string;
}

/** What `Deno.serve` prints to standard error at each start, which is no error. */
const listening = /^Listening on https?:\/\/\S+( \(https?:\/\/\S+\))?$/;

/** A program can write marks itself: they only say what its own lines look like. @param level of a line without a mark */
export function readLine(line: string, level: LogLevel): PrintedLine {
  const [whole, name = "", traceId, spanId] = mark.exec(line) ?? [];
  const marked = levels[name];
  if (whole === undefined || marked === undefined)
    return { level: listening.test(line) ? "info" : level, message: line };
  const message = line.slice(whole.length);
  return { level: marked, message, ...(traceId !== undefined && spanId !== undefined && { traceId, spanId }) };
}
