/** Lists that are ordered by creation, newest first, with pages. */
import type { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { HttpVariables } from "./context.ts";
import { decodeCursor, encodeCursor, type Position } from "./cursor.ts";
import { nextLink, pageParameters, readPage } from "./pagination.ts";

const standardPage = 30;
const largestPage = 100;

export const json = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: { "application/json": { schema } },
});

export const pageQuery = pageParameters(largestPage);

/** One page of a list that is ordered by creation, newest first. Sets the `Link` header. */
export async function readRows<T>(
  c: Context<HttpVariables>,
  publicUrl: () => string,
  find: (request: { query: URLSearchParams; limit: number; before: Position | undefined }) => Promise<T[]>,
  rowOf: (item: T) => { created_at: number; id: string },
): Promise<T[]> {
  const query = new URL(c.req.url).searchParams;
  const { limit, cursor } = readPage(query, { standard: standardPage, most: largestPage });
  const rows = await find({ query, limit: limit + 1, before: cursor === undefined ? undefined : decodeCursor(cursor) });
  const last = rows.length > limit ? rows[limit - 1] : undefined;
  if (last !== undefined) c.header("Link", nextLink(publicUrl(), c.req.path, query, encodeCursor(rowOf(last))));
  return rows.slice(0, limit);
}
