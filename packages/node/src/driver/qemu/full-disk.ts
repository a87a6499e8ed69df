/**
 * When the host's disk is full, QEMU pauses a machine that writes, instead of reporting an error that would damage the guest's file
 * system (`werror=enospc`). This resumes the machine once there is free space again; QEMU then repeats the write.
 */
import { statfs } from "node:fs/promises";
import type { Qmp } from "./qmp.ts";

/** Free space at which machines resume, bytes: enough that they do not stop again at once. */
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
  // The machine may have been paused under an earlier process of ours.
  isStalled(qmp).then(
    (stalled) => {
      if (stalled) wait();
    },
    () => undefined,
  );
}

/** Whether QEMU paused the machine because a write failed for lack of space. */
export async function isStalled(qmp: Qmp): Promise<boolean> {
  return ((await qmp.execute("query-status")) as { status?: unknown }).status === "io-error";
}

async function hostFreeBytes(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}
