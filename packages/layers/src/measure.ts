/** How much data layers hold, from the allocation maps of their images. */
import { z } from "zod";
import { asFileName, imageChain, runJailed } from "./jailed-tool.ts";

const extent = z.object({
  length: z.int().min(0),
  depth: z.int().min(0).max(256),
  zero: z.boolean(),
  data: z.boolean(),
});

/**
 * Bytes of data by depth: index 0 is the image itself, 1 its backing file, ... Zeros are not counted.
 * @param images top first
 */
export async function dataByDepth(images: readonly string[]): Promise<readonly number[]> {
  const sums = images.map(() => 0);
  // One extent in a line. A fragmented image has hundreds of thousands.
  const onLine = (line: string) => {
    const text = line.replace(/^\[/, "").replace(/[,\]]$/, "");
    if (text === "") return;
    const { length, depth, zero, data } = extent.parse(JSON.parse(text));
    if (data && !zero) sums[depth] = (sums[depth] ?? 0) + length;
  };
  const chain = asFileName(imageChain(images.length));
  await runJailed("qemu-img", ["map", "--output=json", chain], { images, onLine, background: true, deadline: 120_000 });
  return sums;
}
