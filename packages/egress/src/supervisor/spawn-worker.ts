/** How a worker's process is begun: with no more than it needs, and nothing to be read of it from outside. */
import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../worker/main.ts", import.meta.url));

/** MiB. Of 1 to 16, 4 of `young` cost a body the least. */
const memory = { heap: 2048, young: 4 } as const;

/**
 * Undefined when the node cannot start one more process, or has no more file descriptors.
 * @param onFailure gets the reason
 */
export function spawnWorker(onFailure: (error: unknown) => void): ChildProcess | undefined {
  try {
    // `ulimit -c 0`: no core dump of a process that holds secrets. Its arguments contain nothing but the path of the code,
    // and its environment is empty but for the channel; secrets come over the channel.
    const child = spawn(
      "/bin/sh",
      [
        "-c",
        'ulimit -c 0; exec "$0" "$@"',
        process.execPath,
        "--disable-warning=ExperimentalWarning",
        `--max-old-space-size=${memory.heap}`,
        `--max-semi-space-size=${memory.young}`,
        // Otherwise other threads may go on marking the heap for as long as bytes flow, and take more than the worker itself.
        "--single-threaded-gc",
        // For `worker/sweep.ts`.
        "--expose-gc",
        main,
      ],
      {
        stdio: ["ignore", "ignore", "inherit", "ipc"],
        serialization: "advanced",
        env: { UV_THREADPOOL_SIZE: "8" },
        detached: false,
      },
    );
    // Node throws for some reasons, and for others gives a process that never was, without a channel and without an end.
    const failed = child.pid === undefined;
    child.on("error", (error) => failed && onFailure(error));
    return failed ? undefined : child;
  } catch (error) {
    onFailure(error);
    return undefined;
  }
}
