import type { Logger } from "pino";

export interface Repetition {
  /** No run begins after this; answers when a running one has ended. */
  stop(): Promise<void>;
}

/** Runs `task` every `interval` milliseconds, never twice at a time; a failure is logged and the next run comes as planned. */
export function repeat(interval: number, name: string, log: Logger, task: () => Promise<void>): Repetition {
  let running: Promise<void> | undefined;
  const timer = setInterval(() => {
    running ??= task()
      .catch((error: unknown) => log.error({ err: error }, `${name} failed`))
      .finally(() => (running = undefined));
  }, interval);
  timer.unref();
  return {
    async stop() {
      clearInterval(timer);
      await running;
    },
  };
}
