/** Finds restarts of `deno run --watch` in its standard error, and passes every byte on unchanged. */
import { PassThrough, type Readable } from "node:stream";
import { stripVTControlCharacters } from "node:util";

/** What Deno prints when a watched file changed. */
const restartLine = /^Watcher\b.*\bRestarting!/;
const maxLine = 4096;

/** @returns the same bytes. When that stream is destroyed, the source is still read for restarts */
export function watchRestarts(source: Readable, onRestart: () => void): Readable {
  const seen = new PassThrough();
  let line = "";
  const scan = (chunk: Buffer) => {
    const [first = "", ...others] = chunk.toString("latin1").split("\n");
    line = (line + first).slice(-maxLine);
    for (const next of others) {
      if (restartLine.test(stripVTControlCharacters(line))) onRestart();
      line = next.slice(0, maxLine);
    }
  };
  source.on("data", (chunk: Buffer) => {
    scan(chunk);
    if (!seen.destroyed && !seen.write(chunk)) source.pause();
  });
  seen.on("drain", () => source.resume());
  seen.on("close", () => source.resume());
  source.on("end", () => seen.end());
  source.on("error", (error) => seen.destroy(error));
  return seen;
}
