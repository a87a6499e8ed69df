/** The body of every refused request (wire contract 1.3). */
import { z } from "zod";

export const errorSchema = z
  .object({
    code: z.string().describe("Stable; programs match on it."),
    message: z.string().describe("For people: what happened and what to do."),
  })
  .meta({ id: "Error" });

export type ErrorBody = z.infer<typeof errorSchema>;
