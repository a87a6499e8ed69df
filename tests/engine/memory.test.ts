/** Any size from one of two templates: `free` shows what was asked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, sh, withEngine } from "./engine.ts";

/** virtio-mem plugs blocks of 2 MiB; the kernel of another image may keep a few MiB more or less than this one. */
const tolerance = 8;

test("free -m agrees with the memory asked for", { timeout: 300_000 }, () =>
  withEngine({}, async (node) => {
    for (const memory of [768, 1111, 1280, 4096]) {
      const machine = await create(node, { memory });
      const read = async () => Number(await sh(machine, "free -m | awk '/^Mem:/ { print $2 }'"));
      // Large sizes are plugged while the first commands run already.
      const end = Date.now() + 10_000;
      let total = await read();
      while (Math.abs(total - memory) > tolerance && Date.now() < end) total = await read();
      assert.ok(Math.abs(total - memory) <= tolerance, `asked for ${memory} MiB, free shows ${total}`);
      await node.machines.stop(machine.id);
    }
  }),
);

test("sizes out of range are refused by name", { timeout: 60_000 }, () =>
  withEngine({}, async (node) => {
    for (const memory of [767, 4097, 1000.5]) {
      await assert.rejects(create(node, { memory }), {
        code: "invalid_argument",
        message: new RegExp(String(memory)),
      });
    }
  }),
);
