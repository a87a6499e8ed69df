/** The key of a template: a hash of everything that its saved state depends on. */
import { createHash } from "node:crypto";
import type { VmDriver, VmShape } from "../driver/driver.ts";
import type { ImageManifest } from "../options.ts";

/** Increase when a change of the build changes the content of templates. */
const recipe = 6;

export interface TemplateInput {
  readonly image: ImageManifest;
  readonly shape: VmShape;
  /** Size of the writable layer. */
  readonly diskBytes: number;
}

export async function templateKey(driver: VmDriver, { image, shape, diskBytes }: TemplateInput): Promise<string> {
  const parts = {
    recipe,
    image: image.key,
    agent: image.agentVersion,
    shape,
    diskBytes,
    monitor: await driver.identity(shape),
  };
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 24);
}
