/** Pages (wire contract 1.4): `limit` and an opaque `cursor`, the next page named by a `Link` header. */
import { CaissonError } from "@caisson/protocol";
import { z } from "@hono/zod-openapi";

export interface PageRequest {
  readonly limit: number;
  readonly cursor: string | undefined;
}

/** @throws CaissonError `invalid_argument` */
export function readPage(query: URLSearchParams, { standard, most }: { standard: number; most: number }): PageRequest {
  const text = query.get("limit");
  // Digits alone: `Number` would also take "1e2", "0x10" and " 7 ".
  const limit = text === null || text === "" ? standard : /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (limit < 1)
    throw new CaissonError(
      "invalid_argument",
      `The query parameter \`limit\` must be a whole number from 1 to ${most}.`,
    );
  return { limit: Math.min(limit, most), cursor: readCursor(query) };
}

/** The Python client sends the whole link as cursor, and repeats parameters: the last counts (T23). */
function readCursor(query: URLSearchParams): string | undefined {
  let cursor = query.getAll("cursor").at(-1);
  for (
    let depth = 0;
    depth < 3 && cursor !== undefined && /^https?:\/\//.test(cursor) && URL.canParse(cursor);
    depth++
  ) {
    cursor = new URL(cursor).searchParams.getAll("cursor").at(-1);
  }
  return cursor === "" ? undefined : cursor;
}

/** An absolute URL with exactly one `cursor`, one parameter after it (T22). */
export function nextLink(publicUrl: string, path: string, query: URLSearchParams, cursor: string): string {
  const url = new URL(path, publicUrl);
  for (const [name, value] of query) if (name !== "cursor") url.searchParams.append(name, value);
  url.searchParams.set("cursor", cursor);
  // A `;` or `,` in the URL would end the segment for the client's parser.
  return `<${url.href.replaceAll(";", "%3B").replaceAll(",", "%2C")}>; rel="next"`;
}

/** The same as query parameters of the API document. They are read from the URL, since clients repeat them. */
export function pageParameters(most: number) {
  return {
    limit: z
      .string()
      .optional()
      .openapi({ type: "integer", minimum: 1, maximum: most, description: "Entries in a page." }),
    cursor: z
      .string()
      .optional()
      .openapi({ description: "Where the page begins, from the `Link` header of the page before." }),
  };
}

/** Response headers of a list. */
export const linkHeader = z.object({
  Link: z.string().optional().openapi({ description: 'The next page: `<url>; rel="next"`. Absent on the last page.' }),
});
