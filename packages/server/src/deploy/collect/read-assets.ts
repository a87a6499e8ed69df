/**
 * Reads the body of a deployment: `{"assets": {path: asset, ...}, ...}`. It may have a gigabyte, so never more than one asset is in
 * memory.
 */
import { asset as assetSchema, type Asset } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { JsonPieces } from "./json-pieces.ts";

/** Bytes of JSON of one asset, and of each thing beside the assets. */
export const longestAsset = 48 * 2 ** 20;
const longestOther = 2 ** 20;
const mostOthers = 64;

/**
 * @param store is called for each asset, one after the other
 * @returns everything but the assets, as it is in the body
 * @throws CaissonError `invalid_argument`, `too_large`, and what `store` throws
 */
export async function readAssets(
  body: AsyncIterable<Uint8Array>,
  { maxBytes, store }: { readonly maxBytes: number; readonly store: (path: string, asset: Asset) => Promise<void> },
): Promise<Record<string, unknown>> {
  const input = new JsonPieces(body, maxBytes);
  const others: [string, unknown][] = [];
  await input.object(async (key) => {
    if (key === "assets") {
      await input.object(async (path) => {
        const checked = assetSchema.safeParse(await input.value(longestAsset));
        if (!checked.success)
          throw new CaissonError(
            "invalid_argument",
            `The asset ${JSON.stringify(path.slice(0, 200))} is not {"content", "encoding"} or {"kind": "symlink", "target"}.`,
          );
        await store(path, checked.data);
      });
      return;
    }
    if (others.length >= mostOthers) throw new CaissonError("invalid_argument", "The body has too many fields.");
    others.push([key, await input.value(longestOther)]);
  });
  await input.end();
  return Object.fromEntries(others);
}
