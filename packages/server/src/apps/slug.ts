/** Names of apps and of layers of configuration. An app's is part of its hostnames. */
import { CaissonError } from "@caisson/protocol";
import { randomInt } from "node:crypto";
import { randomText } from "../kernel/random-text.ts";

/** @throws CaissonError `invalid_argument` */
export function checkSlug(slug: string): string {
  // In hostnames, `--` separates an app from a branch, and a label of a hostname cannot begin or end with "-".
  if (!/^[a-z0-9][a-z0-9-]{0,30}[a-z0-9]$/.test(slug) || slug.includes("--"))
    throw new CaissonError(
      "invalid_argument",
      `${JSON.stringify(slug.slice(0, 64))} is not a valid slug. Use 2 to 32 characters from a-z, 0-9 and "-". The first and the last one must not be "-", and there must not be two "-" side by side.`,
    );
  return slug;
}

const adjectives = [
  "amber",
  "brisk",
  "calm",
  "clear",
  "early",
  "fresh",
  "gentle",
  "green",
  "quick",
  "quiet",
  "small",
  "warm",
];
const nouns = [
  "badger",
  "brook",
  "cedar",
  "field",
  "harbor",
  "heron",
  "island",
  "maple",
  "otter",
  "river",
  "stone",
  "wren",
];

/** Such as `quiet-otter-4fk2m8`. */
export function randomSlug(): string {
  const pick = (words: readonly string[]) => words[randomInt(words.length)]!;
  return `${pick(adjectives)}-${pick(nouns)}-${randomText(6).toLowerCase()}`;
}

/** @throws CaissonError `already_exists` (SLUG_ALREADY_IN_USE) */
export function slugInUse(what: "app" | "layer", slug: string): CaissonError {
  return new CaissonError(
    "already_exists",
    `The slug \`${slug}\` is already in use by another ${what}. Choose another one.`,
    {
      wireCode: "SLUG_ALREADY_IN_USE",
    },
  );
}
