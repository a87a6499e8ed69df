/** Which base image the set-up made: a small pointer file in the cache. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CaissonError } from "@caisson/protocol";
import { z } from "zod";

const manifestSchema = z.object({
  /** Changes whenever base, kernel or agent change. */
  key: z.string(),
  base: z.string(),
  kernel: z.string(),
  initramfs: z.string(),
  agentVersion: z.string(),
});

export type ImageManifest = z.infer<typeof manifestSchema>;

/** @throws CaissonError `unavailable` when the set-up has not run */
export async function currentImage(cache: string): Promise<ImageManifest> {
  const path = join(cache, "images/current.json");
  try {
    return manifestSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (cause) {
    throw new CaissonError("unavailable", `There is no usable base image at ${path}. Run: npm start`, { cause });
  }
}
