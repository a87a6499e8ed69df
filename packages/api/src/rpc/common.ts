/** What the parameters and results of many methods share. */
import { z } from "zod";

/** Parameters and result of one method, as they are on the wire. The server checks parameters; it does not check its own results. */
export interface MethodContract {
  readonly params: z.ZodType;
  readonly result: z.ZodType;
}

/** Absent and null mean the same (wire contract T25). */
export function optional<T extends z.ZodType>(schema: T) {
  return schema
    .nullish()
    .transform((value) => value ?? undefined)
    .optional();
}

/** Paths, arguments and variables of a program cannot hold a NUL character, and PostgreSQL stores none. */
export const text = z.string().refine((value) => !value.includes("\0"), "must not contain a NUL character");
export const path = text.describe("A path; it is passed on as it is.");

/** Environment variables of a program. */
export const environment = z.record(
  text.refine((key) => key !== "" && !key.includes("="), "is not the name of a variable"),
  text,
);

export const pid = z.int().min(0).max(0xffff_ffff);
export const flag = optional(z.boolean());
export const abortId = optional(z.number());
export const streamId = z.number();
export const noParams = z.object({});
/** The result of methods that return nothing (T6). */
export const nothing = z.null();
/** Bytes in base64. */
export const base64 = z.string();
export const length = z.int().min(0).transform(BigInt);
