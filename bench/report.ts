/** Figures for people, and for machines with `--json`. */

export interface Quantiles {
  readonly min: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function quantiles(samples: readonly number[]): Quantiles {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (part: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN;
  return { min: at(0), p50: at(0.5), p99: at(0.99), max: at(1) };
}

export const megabytesASecond = (bytes: number, milliseconds: number): number => bytes / 1e6 / (milliseconds / 1000);

/** Rounds to three digits, so that no figure pretends to be exacter than it is. */
export function report(figures: Record<string, number | string>): void {
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [
      name,
      typeof value === "number" ? Number(value.toPrecision(3)) : value,
    ]),
  );
  if (process.argv.includes("--json")) console.log(JSON.stringify(rounded));
  else for (const [name, value] of Object.entries(rounded)) console.log(`${name.padEnd(48)} ${value}`);
}
