/** Copies a layer so that it no longer needs some of the layers below it. The content for a guest is the same. */
import { randomUUID } from "node:crypto";
import { chmod, chown, rm, stat, writeFile } from "node:fs/promises";
import type { Writable } from "node:stream";
import { CaissonError } from "@caisson/protocol";
import { z } from "zod";
import { asFileName, imageChain, outputBlock, outputName, runJailed } from "./jailed-tool.ts";
import { emptyOverlay, readHeader } from "./qcow2-header.ts";

/** Copying a 20 GB volume on a slow disk. */
const deadline = 3_600_000;

export interface CopyOptions {
  /** The layer and all below it, top first. */
  readonly images: readonly [string, ...string[]];
  /** The new backing file: its position in `images`, and its name for the header. Null: none. */
  readonly parent: { readonly index: number; readonly name: string } | null;
  readonly signal?: AbortSignal | undefined;
}

/** @returns path of the copy, a temporary file beside the image */
export async function copyOnto({ images, parent, signal }: CopyOptions): Promise<string> {
  const [path] = images;
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const { mode, uid, gid } = await stat(path);
    const { virtualBytes } = await readHeader(path);
    const options = { images, output: temporary, signal, deadline, background: true };
    await writeFile(temporary, parent === null ? "" : emptyOverlay(parent.name, virtualBytes), {
      flag: "wx",
      mode: 0o600,
    });
    if (parent === null) {
      const source = asFileName(imageChain(images.length));
      const format = ["-O", "qcow2", "-o", "compat=1.1,cluster_size=64k"];
      await runJailed("qemu-img", ["convert", ...format, source, outputName], options);
    } else {
      const chain = imageChain(images.length, (index) => (index === parent.index ? { "node-name": "parent" } : {}));
      const monitor = ["--chardev", "stdio,id=monitor", "--monitor", "chardev=monitor"];
      const args = [...monitor, "--blockdev", JSON.stringify(outputBlock(chain))];
      await runJailed("qemu-storage-daemon", args, { ...options, onLine: streamJob(parent.name) });
    }
    // The tool read what a monitor wrote, which may have been made to compromise it.
    const header = await readHeader(temporary);
    if (header.backingFile !== (parent?.name ?? null) || header.virtualBytes !== virtualBytes)
      throw new CaissonError("internal", "The copy of a layer has another parent or size than it should have.");
    await chmod(temporary, mode & 0o777);
    if (process.getuid?.() === 0) await chown(temporary, uid, gid);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return temporary;
}

const message = z.object({
  QMP: z.unknown().optional(),
  event: z.string().optional(),
  data: z.object({ error: z.string().optional() }).optional(),
  error: z.object({ desc: z.string() }).optional(),
});

/** Talks to the storage daemon (QEMU Machine Protocol): everything above `parent` moves into the output. */
function streamJob(name: string): (line: string, input: Writable) => void {
  return (line, input) => {
    const send = (execute: string, args: object = {}) =>
      input.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const { QMP, event, data, error } = message.parse(JSON.parse(line));
    const refused = error?.desc ?? data?.error;
    if (refused !== undefined)
      throw new CaissonError("internal", `The layers could not be merged: ${refused.slice(0, 500)}`);
    if (QMP !== undefined) {
      send("qmp_capabilities");
      send("block-stream", { "job-id": "copy", device: "output", "base-node": "parent", "backing-file": name });
    }
    if (event === "BLOCK_JOB_COMPLETED") send("quit");
  };
}
