/** Looks for byte strings in a process's whole memory and in the files of a folder. */
import { closeSync, openSync, readFileSync, readSync, readdirSync, fstatSync } from "node:fs";
import { join } from "node:path";
import { spellings } from "./spellings.ts";

/** Every spelling of a key, and what Base64 makes of it at each alignment. */
export function needlesFor(key: string): Map<string, Buffer> {
  const needles = new Map(
    Object.entries(spellings)
      .filter(([name]) => !name.startsWith("base64") && name !== "twice")
      .map(([name, write]) => [name, Buffer.from(write(key).replace(/^"(.*)"$/, "$1"))]),
  );
  for (const before of [0, 1, 2]) {
    const text = Buffer.concat([Buffer.alloc(before), Buffer.from(key)]).toString("base64");
    needles.set(
      `base64 at ${before}`,
      Buffer.from(text.slice(before === 0 ? 0 : before + 1, Math.floor(((before + key.length) * 8) / 6))),
    );
  }
  needles.set("UTF-16", Buffer.from(key, "utf16le"));
  needles.set("reversed", Buffer.from(Array.from(Buffer.from(key)).toReversed()));
  return needles;
}

const pageSize = 4096;
const blockSize = 8 * 2 ** 20;

/**
 * Names of the needles that stand in memory of the process (all of it that is present, of whatever kind).
 * @throws Error when the process cannot be read
 */
export function searchMemory(pid: number, needles: ReadonlyMap<string, Buffer>): { found: Set<string>; bytes: number } {
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const pages = openSync(`/proc/${pid}/pagemap`, "r");
  const scan = createScan(needles);
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const [, from, to, mode = ""] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
      if (
        from === undefined ||
        to === undefined ||
        !mode.startsWith("r") ||
        line.endsWith("[vvar]") ||
        line.endsWith("[vsyscall]")
      )
        continue;
      const [start, end] = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
      for (let at = start; at < end; at += blockSize) {
        const size = Math.min(blockSize, end - at);
        if (present(pages, at, size)) scan.take(memory, at, size);
        else scan.skip();
      }
      scan.skip();
    }
  } finally {
    closeSync(memory);
    closeSync(pages);
  }
  return scan.result();
}

/** Whether any page of the block is in memory or swapped out (bits 63 and 62, Documentation/admin-guide/mm/pagemap.rst). */
function present(pages: number, at: number, size: number): boolean {
  const entries = Buffer.alloc((size / pageSize) * 8);
  const got = readSync(pages, entries, 0, entries.length, (at / pageSize) * 8);
  for (let index = 7; index < got; index += 8) if (((entries[index] ?? 0) & 0xc0) !== 0) return true;
  return false;
}

/** A platform at work deletes files while they are looked for. */
function unlessGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Names of the needles that stand in any file below the folder. */
export function searchFiles(
  folder: string,
  needles: ReadonlyMap<string, Buffer>,
): { found: Set<string>; bytes: number } {
  const scan = createScan(needles);
  const visit = (path: string): void => {
    for (const entry of unlessGone(() => readdirSync(path, { withFileTypes: true })) ?? []) {
      const inner = join(path, entry.name);
      if (entry.isDirectory()) visit(inner);
      const file = entry.isFile() ? unlessGone(() => openSync(inner, "r")) : undefined;
      if (file === undefined) continue;
      try {
        const { size } = fstatSync(file);
        for (let at = 0; at < size; at += blockSize) scan.take(file, at, Math.min(blockSize, size - at));
      } finally {
        closeSync(file);
      }
      scan.skip();
    }
  };
  visit(folder);
  return scan.result();
}

function createScan(needles: ReadonlyMap<string, Buffer>) {
  const longest = Math.max(...[...needles.values()].map((needle) => needle.length));
  const block = Buffer.alloc(longest + blockSize);
  const found = new Set<string>();
  let kept = 0;
  let bytes = 0;
  return {
    take(file: number, at: number, size: number): void {
      let got = 0;
      try {
        got = readSync(file, block, kept, size, at);
      } catch {
        // Parts that belong to devices cannot be read.
        kept = 0;
        return;
      }
      bytes += got;
      const all = block.subarray(0, kept + got);
      for (const [name, needle] of needles) if (!found.has(name) && all.includes(needle)) found.add(name);
      kept = Math.min(longest, all.length);
      all.copy(block, 0, all.length - kept);
    },
    /** What follows does not touch what came. */
    skip(): void {
      kept = 0;
    },
    result: () => ({ found, bytes }),
  };
}
