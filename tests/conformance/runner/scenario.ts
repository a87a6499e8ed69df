/**
 * Scenarios of the JavaScript client: one definition, run by Node and by Deno. An area's scenarios share one sandbox; each has a
 * directory of its own in it. Nothing but built-ins of both runtimes may be imported by area files, besides the client.
 */
import type { Sandbox } from "@deno/sandbox";

export interface Context {
  /** The sandbox of this area. */
  readonly sandbox: Sandbox;
  /** An empty directory inside the sandbox, this scenario's own. */
  readonly directory: string;
}

export interface Scenario {
  readonly row: number;
  readonly title: string;
  readonly run: (context: Context) => Promise<void>;
  /** Milliseconds; default 60 s: generous, because software emulation on a busy host is slow and a hang is a hang. */
  readonly limit?: number;
}

export interface ScenarioResult {
  readonly row: number;
  readonly title: string;
  readonly milliseconds: number;
  /** Absent: passed. */
  readonly error?: string;
}

/** @throws Error when `promise` is pending for longer */
export async function within<T>(milliseconds: number, what: string, promise: PromiseLike<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Repeats the question until its answer is neither undefined nor false. */
export async function until<T>(
  milliseconds: number,
  what: string,
  question: () => Promise<T | undefined | false>,
): Promise<T> {
  const end = Date.now() + milliseconds;
  for (;;) {
    const answer = await question();
    if (answer !== undefined && answer !== false) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${milliseconds} ms`);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/** The error that `promise` rejects with. @throws Error when it fulfils */
export async function rejection(promise: PromiseLike<unknown>): Promise<Error & { code?: unknown; status?: unknown }> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error(`expected a rejection, got ${JSON.stringify(value)}`);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

export const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
export const text = (data: Uint8Array | null): string => new TextDecoder().decode(data ?? new Uint8Array());
