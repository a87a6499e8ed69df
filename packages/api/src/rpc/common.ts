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

/** Paths are passed on as they are; a NUL character cannot be in one. */
export const path = z.string().refine((text) => !text.includes("\0"), "must not contain a NUL character");

/** Environment variables of a program. */
export const environment = z.record(
  path.refine((key) => key !== "" && !key.includes("="), "is not the name of a variable"),
  path,
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
