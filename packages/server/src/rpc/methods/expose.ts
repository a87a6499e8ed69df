/** Binds a reserved name to a port or to a Deno process of this sandbox (wire contract 4.7). */
import { z } from "zod";
import { method, optional, pid, type Methods } from "../call.ts";

const schema = z
  .object({ domain: z.string().max(300), port: optional(z.int().min(1).max(65_535)), pid: optional(pid) })
  .refine(({ port, pid }) => (port === undefined) !== (pid === undefined), "needs either `port` or `pid`");

export const expose: Methods = {
  exposeHttp: method(schema, async ({ domain, port, pid }, { sandbox, previews }) => {
    await previews.bind(sandbox, domain, port === undefined ? { pid: pid! } : { port });
    return null;
  }),
};
