/** How much data layers hold, from the allocation maps of their images. */
import { z } from "zod";
import { runTool } from "./tool.ts";

const map = z.array(
  z.object({
    length: z.number(),
    depth: z.number(),
    present: z.boolean().optional(),
    zero: z.boolean(),
    data: z.boolean(),
  }),
);

/**
 * Bytes of data by depth: index 0 is the image itself, 1 its backing file, ... Zeros are not counted.
 * The image may be in use (`-U`); the result is then an estimate.
 */
export async function dataByDepth(path: string): Promise<readonly number[]> {
  const { stdout } = await runTool("qemu-img", ["map", "-U", "--output=json", "-f", "qcow2", path], {
    background: true,
    deadline: 120_000,
  });
  const sums: number[] = [];
  for (const extent of map.parse(JSON.parse(stdout))) {
    if (extent.data && !extent.zero) sums[extent.depth] = (sums[extent.depth] ?? 0) + extent.length;
  }
  return Array.from(sums, (sum) => sum ?? 0);
}
