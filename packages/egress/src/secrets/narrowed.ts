/** Whether a request keeps to the methods and paths that a secret is narrowed to, in every way in which its host may read it. */
import type { SecretBinding } from "@caisson/protocol";

interface Head {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** @returns why the secret may not be in this request; undefined when it may */
export function outsideNarrowing(
  { methods, pathPrefixes }: Pick<SecretBinding, "methods" | "pathPrefixes">,
  head: Head,
): string | undefined {
  if (methods === undefined && pathPrefixes === undefined) return undefined;
  if (methods !== undefined && !methods.includes(head.method.toUpperCase()))
    return `may not be sent with the method ${head.method}; it is for ${methods.join(", ")}.`;
  if (pathPrefixes !== undefined && !pathBegins(head.target, pathPrefixes))
    return `may not be sent to this path; it is for paths that begin with ${pathPrefixes.join(", ")}.`;
  const override = overriding(head);
  return override === undefined
    ? undefined
    : `may not be sent with ${override}, which makes some servers use another method or path than the request has.`;
}

/** Parts of a path that servers read in more than one way; most of them decode once more, fold Unicode, or cut off before they use the path. */
const readDifferently = new RegExp(
  [
    // Empty and dot segments; those that only begin with two dots become such when something is cut off behind.
    String.raw`//|/\.\.|/\.(?=/|$)`,
    // Separators and dots, encoded or of another system; what ends a path or a segment; another layer of encoding, also that of IIS.
    String.raw`%2f|%5c|%2e|\\|;|%3b|%23|%3f|%25|%u`,
    // Control characters, at which C cuts, and which some take off.
    String.raw`%[01]|%7f`,
    // Overlong forms of UTF-8, which can mean any ASCII character.
    String.raw`%c[01]|%e0%[89]|%f0%8`,
    // Full-width and small forms, dot leaders, and letters with a slash in them, which folding (NFKC) turns into dots and separators.
    String.raw`%ef%b[9c]|%e2%80%a[4-6]|%e2%84%8[0156]`,
    // A path contains nothing outside ASCII unencoded.
    String.raw`[^\x21-\x7e]`,
  ].join("|"),
  "i",
);

/** Paths that servers read in more than one way begin with nothing. */
function pathBegins(target: string, prefixes: readonly string[]): boolean {
  const path = target.split("?", 1)[0]!;
  return !readDifferently.test(path) && prefixes.some((prefix) => path.startsWith(prefix));
}

/** Headers by which frameworks and reverse proxies let a request name another method or path. */
const overrides = new Set([
  "x-http-method",
  "x-http-method-override",
  "x-method-override",
  "x-original-method",
  "x-forwarded-method",
  "x-original-url",
  "x-original-uri",
  "x-rewrite-url",
  "x-forwarded-uri",
  "x-forwarded-path",
  "x-forwarded-prefix",
]);

/** The name of the header or parameter that is there. */
function overriding({ target, headers }: Head): string | undefined {
  // Where headers become variables (CGI, WSGI), `_` and `-` are one.
  const header = headers.find(([name]) => overrides.has(name.toLowerCase().replaceAll("_", "-")));
  if (header !== undefined) return `the header ${header[0]}`;
  const query = target.slice(target.split("?", 1)[0]!.length);
  const decoded = query.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  // PHP leaves spaces at the beginning of a parameter out, and takes `.` and `[` for `_`.
  return [query, decoded].some((text) => /[?&;][\s+]*[_.[]method(?![a-z0-9])/i.test(text))
    ? "the parameter _method"
    : undefined;
}
