/** What the memory of the host is promised to. Limits of machines may add up to more than there is, by a configured factor. */
import { CaissonError } from "@caisson/protocol";

export interface LedgerOptions {
  /** Physical memory, bytes. */
  readonly physical: number;
  /** `sandbox.memoryOvercommit`. */
  readonly factor: number;
}

const mebibytes = (bytes: number) => Math.ceil(bytes / 2 ** 20);

export class MemoryLedger {
  readonly #total: number;
  readonly #factor: number;
  readonly #promised = new Map<string, number>();

  constructor({ physical, factor }: LedgerOptions) {
    this.#total = physical * factor;
    this.#factor = factor;
  }

  get promised(): number {
    return [...this.#promised.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /**
   * Promises memory to a machine until `release`.
   * @param bytes the limit of the machine, including that of its monitor
   * @throws CaissonError `resource_exhausted`
   */
  reserve(id: string, bytes: number): void {
    const free = this.#total - this.promised;
    if (bytes > free)
      throw new CaissonError(
        "resource_exhausted",
        `The sandboxes of this node may use ${mebibytes(this.promised)} of ${mebibytes(this.#total)} MiB, and this one would add ${mebibytes(bytes)} MiB. End another sandbox, ask for less memory, or raise \`sandbox.memoryOvercommit\` (now ${this.#factor}).`,
      );
    this.#promised.set(id, bytes);
  }

  /** For a machine that runs already: counts it, also when that is too much. */
  adopt(id: string, bytes: number): void {
    this.#promised.set(id, bytes);
  }

  release(id: string): void {
    this.#promised.delete(id);
  }
}
