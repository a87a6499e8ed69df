/** Files that were written and flushed are there, byte for byte, in volumes and in the snapshots taken afterwards. */
import { checksumOf } from "../traffic/operations.ts";
import type { Validator } from "./validator.ts";

export const contents: Validator = {
  name: "contents",
  check({ deep }, model) {
    const problems: string[] = [];
    if (deep?.probe !== undefined) problems.push(`no sandbox can be created, used and killed: ${deep.probe}`);
    for (const [slug, found] of Object.entries(deep?.contents ?? {})) {
      const expected = (model.volumes.get(slug) ?? model.snapshots.get(slug))?.files ?? [];
      if (typeof found === "string") problems.push(`${slug}: cannot be read: ${found}`);
      else
        for (const file of expected)
          if (found[file] !== checksumOf(file))
            problems.push(
              `${slug}: ${file} was flushed and ${found[file] === undefined ? "is gone" : "has other bytes"}`,
            );
    }
    return problems;
  },
};
