/** Checks a value against a schema at a bounded cost. */
import type { z } from "zod";

/** Faults of one value that are reported. */
const maxFaults = 20;
/** Larger lists and maps are checked in parts of this size first, and the first part with a fault ends the check. */
const partSize = 64;
/** Lists and maps of more than `partSize` entries in one value. No request of the contract has more than three. */
const maxLarge = 64;
/** How deep they are looked for. No schema has entries to check further down. */
const maxDepth = 4;

export type Checked<T> =
  | { readonly success: true; readonly data: T }
  | { readonly success: false; readonly faults: readonly z.core.$ZodIssue[] };

/**
 * As `schema.safeParse`, but of a value from JSON, and at a bounded cost: each wrong element of a list costs a schema a kilobyte and
 * some microseconds, and a message of one megabyte can have half a million of them.
 * @throws what a transform of the schema throws
 */
export function check<T extends z.ZodType>(schema: T, value: unknown): Checked<z.output<T>> {
  const large: Collection[] = [];
  if (!findLarge(schema, value, [], large))
    return { success: false, faults: [{ code: "custom", path: [], message: "has too many long lists", input: null }] };
  const faults = large.length === 0 ? undefined : checkInParts(schema, value, large);
  if (faults !== undefined) return { success: false, faults };
  const parsed = schema.safeParse(value);
  return parsed.success ? parsed : { success: false, faults: parsed.error.issues.slice(0, maxFaults) };
}

type Path = readonly PropertyKey[];
type Container = Record<PropertyKey, unknown>;

/** A long list or map. While parts are checked, one part is in its place. */
interface Collection {
  readonly parent: Container;
  readonly path: Path;
  readonly entries: unknown[] | Container;
  /** Of a map. */
  readonly keys: readonly string[] | undefined;
  readonly size: number;
  /** The first entry of the part. */
  from: number;
}

/** @returns false when there are too many */
function findLarge(schema: Below, value: unknown, path: Path, large: Collection[]): boolean {
  if (typeof value !== "object" || value === null || path.length >= maxDepth) return true;
  const names = Array.isArray(value) ? undefined : Object.keys(value);
  for (let at = 0, count = names?.length ?? (value as []).length; at < count; at++) {
    const key = names?.[at] ?? at;
    const entry = (value as Container)[key];
    if (typeof entry !== "object" || entry === null) continue;
    const inner = below(schema, key);
    // Nothing looks at its entries.
    if (inner === undefined || (Array.isArray(entry) && below(inner, 0) === undefined)) continue;
    const entries = entry as unknown[] | Container;
    const keys = Array.isArray(entries) ? undefined : Object.keys(entries);
    const size = Array.isArray(entries) ? entries.length : keys!.length;
    const place = [...path, key];
    if (size > partSize) {
      if (large.length === maxLarge) return false;
      large.push({ parent: value as Container, path: place, entries, keys, size, from: 0 });
    }
    if (!findLarge(inner, entries, place, large)) return false;
  }
  return true;
}

/** What a schema says about something below it. Undefined: nothing, so its size costs nothing. */
type Below = z.ZodType | "anything" | undefined;

interface Definition {
  readonly innerType?: z.ZodType;
  readonly shape?: Readonly<Record<PropertyKey, z.ZodType>>;
  readonly catchall?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly element?: z.ZodType;
}

function below(schema: Below, key: PropertyKey): Below {
  if (schema === undefined || schema === "anything") return schema;
  const { innerType, shape, catchall, valueType, element } = schema.def as unknown as Definition;
  if (innerType !== undefined) return below(innerType, key);
  if (shape === undefined) return unlessUnknown(element ?? valueType ?? "anything");
  if (Object.hasOwn(shape, key)) return unlessUnknown(shape[key]);
  return catchall === undefined ? undefined : "anything";
}

function unlessUnknown(schema: Below): Below {
  const type = typeof schema === "object" ? schema.def.type : undefined;
  return type === "unknown" || type === "any" ? undefined : schema;
}

/** Only one part of each collection is in the value at a time. @returns the faults of the first part that has any */
function checkInParts(schema: z.ZodType, value: unknown, large: readonly Collection[]): z.core.$ZodIssue[] | undefined {
  try {
    for (const collection of large.toReversed()) put(collection, 0);
    for (const collection of large) {
      const around = large.filter(
        ({ path }) => path.length < collection.path.length && startsWith(collection.path, path),
      );
      for (let from = 0; from < collection.size; from += partSize) {
        put(collection, from);
        // From the inside out: each part is a copy.
        for (const outer of around.toReversed()) put(outer, partOf(outer, collection.path[outer.path.length]!));
        const parsed = schema.safeParse(value);
        if (parsed.success) continue;
        return parsed.error.issues.slice(0, maxFaults).map((fault) => ({ ...fault, path: whole(fault.path, large) }));
      }
      put(collection, 0);
      for (const outer of around.toReversed()) put(outer, 0);
    }
    return undefined;
  } finally {
    for (const { parent, path, entries } of large) parent[path.at(-1)!] = entries;
  }
}

function put(collection: Collection, from: number): void {
  const { parent, path, entries, keys } = collection;
  collection.from = from;
  parent[path.at(-1)!] = Array.isArray(entries)
    ? entries.slice(from, from + partSize)
    : Object.fromEntries(keys!.slice(from, from + partSize).map((name) => [name, entries[name]]));
}

/** The part of a collection that has an entry. */
function partOf({ keys }: Collection, entry: PropertyKey): number {
  const index = typeof entry === "number" ? entry : keys!.indexOf(String(entry));
  return index - (index % partSize);
}

/** A fault inside a part of a list has the element's number in the part. */
function whole(path: PropertyKey[], large: readonly Collection[]): PropertyKey[] {
  const corrected = [...path];
  for (const { path: list, keys, from } of large) {
    const index = corrected[list.length];
    if (keys === undefined && typeof index === "number" && startsWith(corrected, list))
      corrected[list.length] = index + from;
  }
  return corrected;
}

function startsWith(path: Path, start: Path): boolean {
  return start.every((part, at) => path[at] === part);
}
