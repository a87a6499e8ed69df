/** Answers a request with a stream of values, in the form that the client reads. */
import type { Context } from "hono";
import type { HttpVariables } from "../../kernel/http/context.ts";
import type { RevisionContext } from "../context.ts";
import { formatFor, mediaTypes, type StreamFormat } from "../streams/format.ts";
import type { StreamValue } from "../streams/streams.ts";

/** @throws CaissonError `resource_exhausted` */
export function streamResponse(
  c: Context<HttpVariables>,
  { streams }: RevisionContext,
  values: (signal: AbortSignal) => AsyncIterable<StreamValue>,
  format: StreamFormat = formatFor(c.req.header("accept")),
): Response {
  const { outgoing } = c.env;
  // Reverse proxies must not collect it.
  const headers = { "content-type": mediaTypes[format], "cache-control": "no-cache", "x-accel-buffering": "no" };
  // Hono drops the body of an answer to HEAD without an end of it: the stream would count for ever.
  if (c.req.method === "HEAD") return c.body(null, 200, headers);
  const body = streams.open({
    orgId: c.get("org").id,
    format,
    values,
    disconnect: () => outgoing.destroy(),
  });
  return c.body(body, 200, headers);
}
