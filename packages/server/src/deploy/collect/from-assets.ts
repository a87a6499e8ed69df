/** Files of an app from the body of a request. */
import { Readable } from "node:stream";
import type { Asset } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { TreeBuilder } from "./tree.ts";

/** @throws CaissonError `invalid_argument`, `too_large` */
export async function assetsInto(builder: TreeBuilder, path: string, asset: Asset): Promise<void> {
  if (asset.kind === "symlink") builder.symlink(path, asset.target);
  else await builder.file(path, Readable.from([decode(path, asset)]), false);
}

function decode(path: string, { encoding, content }: Extract<Asset, { kind: "file" }>): Buffer {
  if (encoding === "utf-8") return Buffer.from(content);
  const text = content.replaceAll(/[\r\n]/g, "");
  if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text))
    throw new CaissonError("invalid_argument", `The content of ${JSON.stringify(path.slice(0, 200))} is not base64.`);
  return Buffer.from(text, "base64");
}
