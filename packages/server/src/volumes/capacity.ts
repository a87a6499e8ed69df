/** Parses capacities of volumes. */
import { CaissonError } from "@caisson/protocol";

/** 300 MB to 20 GB, decimal: the bounds that the public contract documents. */
export const smallestVolume = 300e6;
export const largestVolume = 20e9;

/** The units of the official clients. `KB` and `kB` are the same. A unit with an i is a power of two, one without is a power of ten. */
const unitBytes: Readonly<Record<string, number>> = {
  GB: 1e9,
  MB: 1e6,
  kB: 1e3,
  KB: 1e3,
  GiB: 2 ** 30,
  MiB: 2 ** 20,
  KiB: 2 ** 10,
};

/**
 * Bytes of a capacity such as `1000000000`, `"1GB"`, `"1.5 GiB"`.
 * @throws CaissonError `invalid_argument` when it is not a size, or outside 300 MB to 20 GB
 */
export function parseCapacity(capacity: number | string): number {
  const bytes = typeof capacity === "number" ? capacity : bytesOf(capacity.trim());
  if (!Number.isSafeInteger(bytes))
    throw new CaissonError(
      "invalid_argument",
      `"${capacity}" is not a valid capacity. Use a whole number of bytes, or a number with a unit, such as "10GB", "500MB" or "2GiB".`,
    );
  if (bytes < smallestVolume || bytes > largestVolume)
    throw new CaissonError(
      "invalid_argument",
      `The capacity of a volume must be from 300 MB to 20 GB, not ${bytes} bytes.`,
    );
  return bytes;
}

function bytesOf(text: string): number {
  const match = /^(\d{1,12}(?:\.\d{1,9})?)\s*([GMk]B|KB|[GMK]iB)?$/.exec(text);
  if (match === null) return Number.NaN;
  const [, digits = "", unit] = match;
  return unit === undefined ? Number(digits) : Math.round(Number(digits) * unitBytes[unit]!);
}
