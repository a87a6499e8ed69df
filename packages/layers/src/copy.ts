/** Copies a layer so that it no longer needs some of the layers below it. The content for a guest is the same. */
import { randomUUID } from "node:crypto";
import { chmod, chown, rm, stat } from "node:fs/promises";
import { runTool } from "./tool.ts";

/** Copying a 20 GB volume on a slow disk. */
const deadline = 3_600_000;

/**
 * @param parent file name of the new backing file, which is below the layer now, or null for none
 * @returns path of the copy, a temporary file beside the image
 */
export async function copyOnto(path: string, parent: string | null, signal?: AbortSignal): Promise<string> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  const options = { signal, deadline, background: true };
  try {
    const { mode, uid, gid } = await stat(path);
    if (parent === null) {
      await runTool(
        "qemu-img",
        ["convert", "-U", "-f", "qcow2", "-O", "qcow2", "-o", "compat=1.1,cluster_size=64k", path, temporary],
        options,
      );
    } else {
      // The copy is rebased and not the layer itself: others may read the layer, and must not see half a rebase.
      await runTool("cp", ["--sparse=always", "--reflink=auto", path, temporary], options);
      await chmod(temporary, 0o600);
      await runTool("qemu-img", ["rebase", "-f", "qcow2", "-F", "qcow2", "-b", parent, temporary], options);
    }
    await chmod(temporary, mode & 0o777);
    if (process.getuid?.() === 0) await chown(temporary, uid, gid);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return temporary;
}
