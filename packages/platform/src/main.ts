/**
 * `npm start`: the whole platform in one process, with its state in `CAISSON_HOME`. SIGTERM or SIGINT ends it and every sandbox. SIGUSR2
 * ends it and leaves sandboxes with a duration to the next process: for an upgrade.
 */
import { pino } from "pino";
import { toCaissonError } from "@caisson/protocol";
import { cacheDirectory, homeDirectory, loadConfig, lockHome } from "./home.ts";
import { startPlatform } from "./platform.ts";

const home = homeDirectory();
// Synchronous, so that the last lines before an exit are not lost. Standard output is for the ready line alone.
const log = pino({ level: process.env["CAISSON_LOG_LEVEL"] ?? "info" }, pino.destination({ dest: 2, sync: true }));
const stop = new AbortController();
for (const [signal, sandboxes] of [
  ["SIGTERM", "end"],
  ["SIGINT", "end"],
  ["SIGUSR2", "leave"],
] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) return;
    log.info({ signal, sandboxes }, "stopping");
    stop.abort(sandboxes);
  });
}

try {
  const lock = await lockHome(home);
  try {
    const config = await loadConfig(home);
    log.level = process.env["CAISSON_LOG_LEVEL"] ?? config.logLevel;
    const platform = await startPlatform({ home, cache: cacheDirectory(), config, log, signal: stop.signal });
    try {
      process.stdout.write(`${platform.readyLine}\n${platform.example}\n`);
      await new Promise<void>((resolve) => {
        if (stop.signal.aborted) resolve();
        stop.signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } finally {
      await platform.close(stop.signal.reason === "leave" ? "leave" : "end");
    }
  } finally {
    await lock.release();
  }
  process.exit(0);
} catch (thrown) {
  if (stop.signal.aborted) process.exit(0);
  const error = toCaissonError(thrown);
  log.fatal({ err: thrown, code: error.code }, "caisson did not start");
  process.stderr.write(`\ncaisson did not start: ${error.message}\n`);
  process.exit(1);
}
