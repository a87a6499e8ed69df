/** What this process holds while it is fuzzed. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

const mib = 2 ** 20;

export class MemoryWatch {
  readonly #collect: () => void;
  #rss = 0;
  #peak = 0;
  #heap = 0;

  constructor() {
    setFlagsFromString("--expose-gc");
    this.#collect = runInNewContext("gc") as () => void;
  }

  /** From here on growth counts. */
  begin(): void {
    this.#heap = this.#live();
    this.#rss = this.#peak = process.memoryUsage.rss();
  }

  sample(): void {
    this.#peak = Math.max(this.#peak, process.memoryUsage.rss());
  }

  /** Collects what nobody holds: what is seen to grow after this is not just garbage. */
  tidy(): void {
    this.sample();
    this.#collect();
  }

  /** MiB. */
  get rssGrowth(): number {
    return Math.round((this.#peak - this.#rss) / mib);
  }

  /** MiB of live objects and buffers. */
  heapGrowth(): number {
    return Math.round((this.#live() - this.#heap) / mib);
  }

  #live(): number {
    this.#collect();
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  }
}
