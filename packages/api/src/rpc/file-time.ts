import { z } from "zod";

/** A time of a file: an ISO string, or a number of seconds as the Python client sends. Becomes nanoseconds since the epoch. */
export const fileTime = z.union([z.string(), z.number()]).transform((value, context) => {
  const milliseconds = typeof value === "number" ? value * 1000 : Date.parse(value);
  if (!Number.isFinite(milliseconds) || Math.abs(milliseconds) > 8.64e15) {
    context.addIssue({ code: "custom", message: "is not a time" });
    return z.NEVER;
  }
  return BigInt(Math.round(milliseconds)) * 1_000_000n;
});
