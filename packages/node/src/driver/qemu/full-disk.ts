/**
 * A machine whose write finds the host's disk full is paused by QEMU instead of being told of an error that would damage its file
 * system (`werror=enospc`). This lets it go on once there is room again; QEMU then repeats the write.
 */
import { statfs } from "node:fs/promises";
import type { Qmp } from "./qmp.ts";

/** Room for a while of writing, so that a machine does not stop again at once, bytes. */
const enough = 256 * 2 ** 20;
const retryMs = 1000;

/** @param directory on the file system that holds the machine's disk images */
export function resumeWhenRoom(qmp: Qmp, directory: string, freeBytes = hostFreeBytes): void {
  let waiting: NodeJS.Timeout | undefined;
  let closed = false;
  const wait = () => {
    if (waiting !== undefined || closed) return;
    waiting = setInterval(() => {
      void attempt().catch(() => undefined);
    }, retryMs);
    waiting.unref();
  };
  const attempt = async () => {
    if ((await freeBytes(directory)) < enough) return;
    if (await isStalled(qmp)) await qmp.execute("cont");
    clearInterval(waiting);
    waiting = undefined;
  };
  qmp.onEvent(({ name, data }) => {
    if (name === "BLOCK_IO_ERROR" && data["action"] === "stop") wait();
  });
  void qmp.closed.then(() => {
    closed = true;
    clearInterval(waiting);
  });
  // One that an earlier process left stalled.
  isStalled(qmp).then(
    (stalled) => {
      if (stalled) wait();
    },
    () => undefined,
  );
}

async function isStalled(qmp: Qmp): Promise<boolean> {
  return ((await qmp.execute("query-status")) as { status?: unknown }).status === "io-error";
}

async function hostFreeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
