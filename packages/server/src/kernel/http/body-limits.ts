/** How large bodies of requests may be, before anybody looks at them. */
import { CaissonError } from "@caisson/protocol";
import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { LargeBody } from "../slice.ts";

/** Largest body of a usual request, bytes. A schema makes a fault of every wrong element in it. */
const usualBody = 64 * 1024;

/** Which middleware limits the body of a request to this path. @param large the routes with larger bodies */
export function bodyLimits(large: readonly LargeBody[]): (path: string) => MiddlewareHandler {
  const usual = bodyLimit({
    maxSize: usualBody,
    onError: () => {
      throw tooLarge(usualBody);
    },
  });
  const others = large.map(({ path, bytes }) => ({ path, handler: whileRead(bytes) }));
  return (path) => others.find((entry) => entry.path.test(path))?.handler ?? usual;
}

/**
 * Counts the body while its route reads it. Hono's own limit reads a body of unknown length to its end first, which would be a gigabyte
 * in memory for everybody, also without a token.
 */
function whileRead(most: number): MiddlewareHandler {
  return async (c, next) => {
    const { body, headers } = c.req.raw;
    if (body === null) return next();
    if (Number(headers.get("content-length") ?? 0) > most) throw tooLarge(most);
    if (headers.has("content-length") && !headers.has("transfer-encoding")) return next();
    let bytes = 0;
    const counted = body.pipeThrough(
      new TransformStream<Uint8Array, Uint8Array>({
        transform(chunk, controller) {
          bytes += chunk.length;
          if (bytes > most) throw tooLarge(most);
          controller.enqueue(chunk);
        },
      }),
    );
    c.req.raw = new Request(c.req.raw, { method: c.req.method, body: counted, duplex: "half" });
    return next();
  };
}

function tooLarge(most: number): CaissonError {
  return new CaissonError("too_large", `The body has more than ${most} bytes, the limit.`);
}
