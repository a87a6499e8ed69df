import { CaissonError } from "@caisson/protocol";
import type { Context } from "hono";
import { z } from "zod";

/** @throws CaissonError `invalid_argument` that names what is wrong; the body itself is never repeated, it may hold secrets */
export async function readJson<T>(c: Context, schema: z.ZodType<T>): Promise<T> {
  let value: unknown;
  try {
    value = await c.req.json();
  } catch (error) {
    if (error instanceof CaissonError) throw error;
    throw new CaissonError("invalid_argument", "The body is not valid JSON.");
  }
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw new CaissonError("invalid_argument", z.prettifyError(parsed.error));
  return parsed.data;
}
