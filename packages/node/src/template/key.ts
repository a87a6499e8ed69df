/** Names a template by everything that its saved state depends on. */
import { createHash } from "node:crypto";
import type { VmDriver, VmShape } from "../driver/driver.ts";
import type { ImageManifest } from "../options.ts";

/** Raise when the way of building changes what ends up in a template. */
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
