/** The base image that this checkout boots. The set-up builds it into the cache, which other checkouts may share. */
import { access } from "node:fs/promises";
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

/** The set-up names what it builds after its sources. It needs only Node's built-ins and has no types. */
const artifacts = new URL("../../../scripts/setup/artifacts.mjs", import.meta.url).href;

/**
 * The image that was built from the sources of this checkout, never that of another one.
 * @throws CaissonError `unavailable` when the set-up of this checkout has not built it
 */
export async function ownImage(): Promise<ImageManifest> {
  const { wantedImage } = (await import(artifacts)) as { wantedImage: () => unknown };
  const image = manifestSchema.parse(wantedImage());
  for (const file of [image.base, image.kernel, image.initramfs]) {
    try {
      await access(file);
    } catch (cause) {
      throw new CaissonError(
        "unavailable",
        `The base image of this version is not built: ${file} does not exist. Run in the folder of this version: node scripts/setup.mjs --for start`,
        { cause },
      );
    }
  }
  return image;
}
