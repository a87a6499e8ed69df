/** Processes in sandboxes that survive go on counting, from where they were. */
import type { Validator } from "./validator.ts";

export const counters: Validator = {
  name: "counters",
  check({ deep }, model) {
    return Object.entries(deep?.counters ?? {}).flatMap(([label, numbers]) => {
      if (typeof numbers === "string") return [`${label}: its counter cannot be read: ${numbers}`];
      const [first, last] = numbers;
      const before = model.sandboxes.get(label)?.counted ?? 0;
      if (last <= first) return [`${label}: its process stopped counting at ${last}`];
      return first < before ? [`${label}: its counter went back from ${before} to ${first}`] : [];
    });
  },
};
