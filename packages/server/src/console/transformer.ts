/** How the command line writes inputs and reads outputs. */
import { uneval } from "devalue";

export const transformer = {
  /** Superjson. Its annotations are for types beyond JSON, which no input has. */
  input: {
    serialize: (value: unknown) => ({ json: value }),
    deserialize: (value: unknown): unknown => (value as { json?: unknown } | undefined)?.json,
  },
  /** JavaScript that the client evaluates: dates are constructor calls, and nothing of a value is ever code. */
  output: {
    serialize: (value: unknown) => uneval(value),
    deserialize: (value: unknown): unknown => value,
  },
};
