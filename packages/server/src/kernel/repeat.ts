import type { Logger } from "pino";
import type { BackgroundTask } from "./slice.ts";

/** Milliseconds for a run to end after its signal was aborted. A database that does not answer must not keep the server from ending. */
const stopTimeout = 3_000;

export interface Repetition {
  /** No run begins after this; a running one gets its signal aborted. Answers when it has ended, at the latest after 3 s. */
  stop(): Promise<void>;
}

/** Runs a task every `interval` milliseconds, never twice at a time; a failure is logged and the next run comes as planned. */
export function repeat(task: BackgroundTask, log: Logger): Repetition {
  const stopped = new AbortController();
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= task
      .run(stopped.signal)
      .catch((error: unknown) => {
        if (!stopped.signal.aborted) log.error({ err: error }, `${task.name} failed`);
      })
      .finally(() => (running = undefined));
  }, task.interval);
  timer.unref();
  return {
    async stop() {
      clearInterval(timer);
      stopped.abort();
      if (running === undefined) return;
      let patience: NodeJS.Timeout | undefined;
      const late = new Promise<"late">((resolve) => (patience = setTimeout(() => resolve("late"), stopTimeout)));
      const outcome = await Promise.race([running, late]).finally(() => clearTimeout(patience));
      if (outcome === "late") log.warn(`${task.name} did not end in time`);
    },
  };
}
