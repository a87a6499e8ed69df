/** The way out works: a sandbox reaches an allowed host with its secret. */
import { reachedUpstream } from "../traffic/operations.ts";
import type { Validator } from "./validator.ts";

export const egress: Validator = {
  name: "egress",
  check({ deep }) {
    return Object.entries(deep?.egress ?? {})
      .filter(([, text]) => text.trim() !== reachedUpstream)
      .map(([label, text]) => `${label}: the upstream host was not reached: ${text.trim()}`);
  },
};
