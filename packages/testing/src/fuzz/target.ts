/**
 * A fuzz target is a file `name.fuzz.ts` beside the code it attacks. It runs the kept seeds first, then inputs made from them and
 * from nothing, for `CAISSON_FUZZ_SECONDS` (default 1). Without `CAISSON_FUZZ_SEED` the same inputs come each time: what fails in
 * `npm test` fails again. `scripts/fuzz.ts` runs all targets for long, with fresh inputs.
 */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { MemoryWatch } from "./memory.ts";
import { keepSeed, readSeeds, type Codec } from "./seeds.ts";

export interface FuzzTarget<T> {
  /** Names the folder of the seeds, too. */
  readonly name: string;
  /** Where the target stands: `import.meta.dirname`. */
  readonly directory: string;
  readonly codec: Codec<T>;
  readonly input: (seeds: readonly [T, ...T[]]) => fc.Arbitrary<T>;
  /** Throws when the code under attack does what it must not. What it leaves unhandled counts as well. */
  readonly check: (input: T) => void | Promise<void>;
  /** Milliseconds that one input may take; default 5000. */
  readonly limit?: number;
  /** MiB by which resident memory may grow over what it was after the seeds; default 512. Garbage counts until it is collected. */
  readonly memory?: number;
  /** Known to begin so slowly that the usual second would try nothing: seconds at least. */
  readonly least?: number;
}

const seconds = Number(process.env["CAISSON_FUZZ_SECONDS"] ?? 1);
const firstSeed = Number(process.env["CAISSON_FUZZ_SEED"] ?? 1);
/** A file that always holds the input under way, for inputs that end the whole process. */
const trace = process.env["CAISSON_FUZZ_TRACE"];
const reportFile = process.env["CAISSON_FUZZ_REPORT"];

/** MiB. Caches and compiled code grow for a while, and what lingers on purpose (closed connections, seconds) is there at the end. */
const leakLimit = 128;

export interface FuzzReport {
  readonly name: string;
  readonly executions: number;
  readonly milliseconds: number;
  /** MiB. */
  readonly rssGrowth: number;
  /** MiB of live objects at the end over those after the seeds. */
  readonly heapGrowth: number;
  readonly failure: string | undefined;
}

/** Registers the target as a test. */
export function fuzz<T>(target: FuzzTarget<T>): void {
  test(`fuzz ${target.name}`, async (t) => {
    const run = new Run(target);
    const report = await run.all();
    const rate = ((report.executions / report.milliseconds) * 1000).toFixed(0);
    t.diagnostic(
      `${report.executions} inputs, ${rate}/s, memory grew by at most ${report.rssGrowth} MiB (live: ${report.heapGrowth} MiB)`,
    );
    if (reportFile !== undefined) writeFileSync(reportFile, JSON.stringify(report));
    assert.ok(report.failure === undefined, report.failure);
  });
}

class Run<T> {
  readonly #target: FuzzTarget<T>;
  readonly #memory = new MemoryWatch();
  #executions = 0;
  #stray: unknown;

  constructor(target: FuzzTarget<T>) {
    this.#target = target;
  }

  async all(): Promise<FuzzReport> {
    const started = performance.now();
    const onStray = (error: unknown) => (this.#stray ??= error);
    process.on("unhandledRejection", onStray).on("uncaughtException", onStray);
    try {
      const failure = (await this.#seeds()) ?? (await this.#search(started)) ?? this.#memoryFault();
      return {
        name: this.#target.name,
        executions: this.#executions,
        milliseconds: performance.now() - started,
        rssGrowth: this.#memory.rssGrowth,
        heapGrowth: this.#memory.heapGrowth(),
        failure,
      };
    } finally {
      process.off("unhandledRejection", onStray).off("uncaughtException", onStray);
    }
  }

  async #seeds(): Promise<string | undefined> {
    const { name, directory, codec } = this.#target;
    const seeds = readSeeds(directory, name, codec);
    assert.ok(seeds.length > 0, `There are no seeds for ${name}.`);
    // Twice, so that what is loaded and cached once does not count as growth.
    for (const seed of [...seeds, ...seeds]) {
      try {
        await this.#one(seed.value);
      } catch (error) {
        return `seed ${seed.file}: ${explained(error)}`;
      }
    }
    this.#memory.begin();
    return undefined;
  }

  async #search(started: number): Promise<string | undefined> {
    const { name, directory, codec, input, least = 0 } = this.#target;
    const [first, ...rest] = readSeeds(directory, name, codec).map((seed) => seed.value);
    const arbitrary = input([first as T, ...rest]);
    const property = fc.asyncProperty(arbitrary, (value) => this.#one(value));
    const length = Math.max(seconds, least) * 1000;
    const batchLength = Math.min(1000, length / 5);
    let size = 8;
    for (let seed = firstSeed; performance.now() - started < length; seed++) {
      if (trace !== undefined) writeFileSync(`${trace}.batch`, String(seed));
      const begun = performance.now();
      // Bounds the search for a smaller failing input, too.
      const details = await fc.check(property, { seed, numRuns: size, interruptAfterTimeLimit: 30_000 });
      if (details.failed && details.counterexample !== null) {
        const [value] = details.counterexample;
        const file = keepSeed(directory, name, codec, value);
        return `kept as ${file}: ${explained(details.errorInstance)}`;
      }
      const took = performance.now() - begun;
      this.#memory.tidy();
      size = Math.max(4, Math.min(50_000, Math.round(size * Math.min(4, batchLength / Math.max(took, 1)))));
      // Sockets and timers of what ran get their turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
    return undefined;
  }

  async #one(value: T, again = false): Promise<void> {
    const { check, codec, limit = 5000 } = this.#target;
    if (trace !== undefined) writeFileSync(trace, codec.encode(value));
    this.#executions++;
    const started = performance.now();
    const done = check(value);
    let ended = true;
    if (done !== undefined) {
      ended = await inTime(limit, done);
      // What it left behind may fail a moment later.
      await new Promise((resolve) => setImmediate(resolve));
    }
    const took = performance.now() - started;
    if (!ended || took > limit) {
      // A host of virtual machines may stand still for seconds, and then lets the timer fire first; what is slow is so again.
      if (!again) return this.#one(value, true);
      throw new Error(ended ? `It took ${Math.round(took)} ms, twice.` : `It did not end within ${limit} ms, twice.`);
    }
    if (this.#executions % 64 === 0 || took > 20) this.#memory.sample();
    if (this.#stray !== undefined) {
      const stray = this.#stray;
      this.#stray = undefined;
      throw new Error("Nobody handled an error, of this input or one just before.", { cause: stray });
    }
  }

  #memoryFault(): string | undefined {
    const { memory = 512 } = this.#target;
    const kept = this.#memory.heapGrowth();
    if (kept > leakLimit) return `${kept} MiB are kept after the inputs have been dealt with.`;
    return this.#memory.rssGrowth > memory
      ? `Memory grew by ${this.#memory.rssGrowth} MiB, more than ${memory} MiB.`
      : undefined;
  }
}

/** Whether it ended within `limit` milliseconds. @throws what `done` is rejected with */
function inTime(limit: number, done: Promise<void>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(false), limit);
    done.then(() => resolve(true), reject).finally(() => clearTimeout(timer));
  });
}

function explained(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\n  caused by ${explained(error.cause)}`;
  return `${(error.stack ?? error.message).slice(0, 4000)}${cause}`;
}
