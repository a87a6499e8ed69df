/**
 * Programs that fill their memory. The kernel ends most of them. But while it can still take pages of the program's own code away, which
 * are read again at once, it may go on with that for hours: the program then answers nobody.
 */
import type { Agent } from "@caisson/protocol";

/** Milliseconds between two looks. */
export const lookInterval = 5_000;
/** Looks in a row that must find it so. */
const patience = 5;
/** Of the limit: below this nothing is wrong. */
const fullPart = 0.97;
/** Of the limit: with less of its own data, it is files that fill the memory, as they should. */
const ownPart = 0.9;
/** How often what is kept of files was read again since the last look. */
const turnovers = 5;

const group = "/sys/fs/cgroup/sandbox";
const longest = 16 * 1024;
const pageBytes = 4096;

/** Bytes, of all programs of a machine together. */
export interface MemoryUse {
  readonly limit: number;
  /** Data of programs. */
  readonly own: number;
  /** What is kept of files, code included. */
  readonly files: number;
  /** Read again after it was taken away, since the start. */
  readonly again: number;
}

/** Looks at the memory of a machine, time after time. */
export class MemoryWatch {
  #before: MemoryUse | undefined;
  #found = 0;

  /** @param use undefined: not full. @returns whether the program does nothing any more but read its own code */
  add(use: MemoryUse | undefined): boolean {
    const before = this.#before;
    this.#before = use;
    if (use === undefined || before === undefined || use.own < use.limit * ownPart) this.#found = 0;
    else if (use.again - before.again >= turnovers * use.files) this.#found++;
    else this.#found = 0;
    return this.#found >= patience;
  }
}

/** @returns undefined: it is not full, or does not say so. The guest may claim anything; that costs only itself */
export async function memoryUse(agent: Pick<Agent, "files">): Promise<MemoryUse | undefined> {
  const limit = Number(await read(agent, "memory.max"));
  const current = Number(await read(agent, "memory.current"));
  return current >= limit * fullPart ? parseMemory(limit, await read(agent, "memory.stat")) : undefined;
}

/** @param stat of a control group, version 2 */
export function parseMemory(limit: number, stat: string): MemoryUse | undefined {
  const value = (name: string) => Number(new RegExp(`^${name} (\\d{1,15})$`, "m").exec(stat)?.[1]);
  const use = {
    limit,
    own: value("anon"),
    files: value("file"),
    again: value("workingset_refault_file") * pageBytes,
  };
  return Object.values(use).every(Number.isFinite) ? use : undefined;
}

async function read({ files }: Pick<Agent, "files">, name: string): Promise<string> {
  const request = { path: `${group}/${name}`, inlineLimit: longest };
  const { content } = await files.readFile(request, { timeoutMs: lookInterval });
  return content.case === "data" ? Buffer.from(content.value.subarray(0, longest)).toString("latin1") : "";
}
