import type { Logger } from "pino";
import type { BackgroundTask } from "./slice.ts";

export interface Repetition {
  /** No run begins after this; a running one gets its signal aborted. Answers when it has ended. */
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
      await running;
    },
  };
}
