/** Names that people give to volumes and snapshots. */
import { CaissonError } from "@caisson/protocol";

/** @throws CaissonError `invalid_argument` */
export function checkSlug(slug: string): string {
  // No `--` at positions 3 and 4: there it means an encoded international domain name.
  if (!/^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])$/.test(slug) || slug.startsWith("--", 2)) {
    throw new CaissonError(
      "invalid_argument",
      "A slug has 2 to 32 characters from a-z, 0-9 and -, does not begin or end with -, and has no -- as third and fourth character.",
    );
  }
  return slug;
}
