/** Row 16, against a platform that allows one sandbox at a time. */
import assert from "node:assert/strict";
import { Sandbox } from "@deno/sandbox";
import { rejection, type Scenario } from "../runner/scenario.ts";

export const shared = false;

export const scenarios: readonly Scenario[] = [
  {
    row: 16,
    title: "one sandbox too many is refused with 429, and welcome again when there is room",
    async run() {
      const first = await Sandbox.create();
      const error = await rejection(Sandbox.create());
      assert.equal(error.constructor.name, "ConnectionEstablishmentError");
      assert.equal(error.status, 429);
      assert.equal(typeof error.code, "string");
      await first.kill();
      const next = await Sandbox.create();
      await next.kill();
    },
  },
];
