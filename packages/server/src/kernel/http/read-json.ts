/** Bodies that are larger than usual: read and checked at a bounded cost. */
import { check } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import type { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import { z } from "zod";
import type { HttpVariables } from "./context.ts";

/**
 * The body of a request. Its route must declare it with `largeBody`, so that nothing reads it before.
 * @throws CaissonError `invalid_argument`; the message never repeats a value, which may be a secret
 */
export async function readJson<T extends z.ZodType>(c: Context<HttpVariables>, schema: T): Promise<z.output<T>> {
  const checked = check(schema, parse(await c.req.text()));
  if (!checked.success) throw new CaissonError("invalid_argument", z.prettifyError({ issues: [...checked.faults] }));
  return checked.data;
}

/**
 * Declares a body for the API document alone. A schema in its place would be applied to the whole body at once.
 * @param name of the schema in the document
 */
export function largeBody(app: OpenAPIHono<HttpVariables>, name: string, schema: z.ZodType) {
  registerSchema(app, name, schema);
  return {
    body: { required: true, content: { "application/json": { schema: { $ref: reference(name) } } } },
  } as const;
}

/** Adds the schema of something that clients send, and its parts, to the API document. No route applies it. */
export function registerSchema(app: OpenAPIHono<HttpVariables>, name: string, schema: z.ZodType): void {
  const { $schema: _, $defs = {}, ...whole } = z.toJSONSchema(schema, { io: "input" });
  // A schema with an id of its own is one of its parts.
  for (const [part, value] of Object.entries({ [name]: whole, ...$defs }))
    app.openAPIRegistry.registerComponent("schemas", componentName(part), withComponents(value));
}

/** Parts of answers have components of their own: what a client may leave out differs. */
function componentName(part: string): string {
  return /(Request|CreateConfig)$/.test(part) ? part : `${part}Input`;
}

function reference(part: string): string {
  return `#/components/schemas/${componentName(part)}`;
}

function withComponents(schema: object): object {
  return JSON.parse(
    JSON.stringify(schema, (key, value: unknown) =>
      key === "$ref" && typeof value === "string" ? reference(value.replace("#/$defs/", "")) : value,
    ),
    (key, value: unknown) => (key === "id" && typeof value === "string" ? undefined : value),
  ) as object;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CaissonError("invalid_argument", "The body is not valid JSON.", { cause });
  }
}
