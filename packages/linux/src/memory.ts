/** Free memory of the host. */
import { readFile } from "node:fs/promises";

/** Memory that new programs can use without swapping, MiB: `MemAvailable` of proc_meminfo(5). */
export async function availableMebibytes(): Promise<number> {
  const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "latin1"))?.[1];
  return Math.floor(Number(kilobytes ?? 0) / 1024);
}
