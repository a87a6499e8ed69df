/** JSON values made from other values: one part replaced, removed or repeated. */
import fc from "fast-check";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const texts = [
  "",
  " ",
  "\0",
  "..",
  "../..",
  "/",
  "a".repeat(300),
  "b".repeat(70_000),
  "\ud800",
  "\u202e",
  "é".repeat(40),
  "%00",
  "%",
  "'",
  '"',
  "\\",
  "$(id)",
  "__proto__",
  "constructor",
  "toString",
  "null",
  "NaN",
  "-1",
  "1e999",
  "0x10",
  "data:,",
  "http://[",
  "builtin:debian-13",
  "*",
  "**/*",
  "[",
  "(?:",
  "YWJj",
  "YWJ",
  "!!!!",
  "2026-01-01T00:00:00Z",
  "\n",
  "a\r\nb: c",
];
const numbers = [
  0,
  -0,
  1,
  -1,
  0.5,
  255,
  256,
  65_535,
  65_536,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 63,
  -(2 ** 63),
  1e21,
  1e308,
  -1e308,
];

export const hostileValue: fc.Arbitrary<Json> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom<Json>(...texts) },
  { weight: 4, arbitrary: fc.constantFrom<Json>(...numbers) },
  { weight: 2, arbitrary: fc.constantFrom<Json>(null, true, false, [], {}, [[]], [null], { __proto__: null, a: [] }) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json> },
);

interface Change {
  readonly kind: "replace" | "remove" | "rename" | "wrap" | "repeat";
  readonly at: number;
  readonly value: Json;
}
const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom("replace", "replace", "replace", "remove", "rename", "wrap", "repeat"),
  at: fc.nat({ max: 10_000 }),
  value: hostileValue,
});

function size(value: Json): number {
  if (typeof value !== "object" || value === null) return 1;
  return 1 + Object.values(value).reduce<number>((sum, part) => sum + size(part), 0);
}

/** The value with the part number `at`, counted depth first, changed. */
function apply(value: Json, { kind, at, value: other }: Change): Json {
  let left = at % size(value);
  const visit = (part: Json): { keep: boolean; value: Json; times?: number; name?: string } => {
    if (left-- === 0) {
      if (kind === "remove") return { keep: false, value: null };
      if (kind === "wrap") return { keep: true, value: [part] };
      if (kind === "repeat") return { keep: true, value: part, times: 50 };
      if (kind === "rename")
        return {
          keep: true,
          value: part,
          name: (typeof other === "string" ? other : JSON.stringify(other)).slice(0, 300),
        };
      return { keep: true, value: other };
    }
    if (typeof part !== "object" || part === null) return { keep: true, value: part };
    if (Array.isArray(part)) {
      return {
        keep: true,
        value: part.flatMap((item) => {
          const next = visit(item);
          return next.keep ? Array.from({ length: next.times ?? 1 }, () => next.value) : [];
        }),
      };
    }
    const entries = Object.entries(part).flatMap(([key, item]): [string, Json][] => {
      const next = visit(item);
      return next.keep ? [[next.name ?? key, next.value]] : [];
    });
    return { keep: true, value: Object.fromEntries(entries) };
  };
  const next = visit(value);
  return next.keep ? next.value : null;
}

/** @param most changes to one seed */
export function mutatedValue<T>(seeds: readonly [T, ...T[]], most = 4): fc.Arbitrary<T> {
  return fc
    .tuple(fc.constantFrom(...seeds), fc.array(change, { maxLength: most }))
    .map(([seed, changes]) => changes.reduce(apply, seed as Json) as T);
}
