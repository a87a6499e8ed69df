/** Memory is promised once, and when it runs out somebody goes who has to: not whom the kernel picks. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { totalmem } from "node:os";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { availableMebibytes } from "@caisson/linux";
import { create, engine, sh, temporaryHome, withEngine } from "./engine.ts";

/** Limit of a machine of 768 MiB under emulation, with its monitor. */
const limit = 768 + 576;

test("limits are promised up to the configured factor; a refusal says what to do", { timeout: 120_000 }, () =>
  withEngine(
    { config: { sandbox: { memoryOvercommit: (2 * limit + 100) / (totalmem() / 2 ** 20) } } },
    async (node) => {
      const first = await create(node, { memory: 768 });
      const other = await create(node, { memory: 768 });
      const refused = { code: "resource_exhausted", status: 429, message: /End another sandbox.*memoryOvercommit/ };
      await assert.rejects(create(node, { memory: 768 }), refused);
      await node.machines.stop(first.id);
      await create(node, { memory: 768 });
      await assert.rejects(create(node, { memory: 768 }), refused);
      assert.equal(await sh(other, "echo alive"), "alive");
    },
  ),
);

test(
  "when memory runs out, the heaviest machine of the owner that uses most ends, with a reason",
  { timeout: 180_000 },
  async () => {
    const home = await temporaryHome();
    const first = await engine(home);
    try {
      await first.start({ wanted: [] });
      const owners = { heavy: "greedy", light: "greedy", other: "modest" };
      for (const [id, owner] of Object.entries(owners))
        await create(first, { id, owner, memory: id === "heavy" ? 2560 : 768 });
      await first.close("leave");
      // Other programs of this host come and go: far less than this, and the guest can take far more.
      const reserve = (await availableMebibytes()) - 1000;
      const node = await engine(home, { config: { sandbox: { memoryReserve: reserve } } });
      await node.start({ wanted: Object.entries(owners).map(([id, owner]) => ({ id, owner })) });
      try {
        const ended = node.machines.waitExit("heavy");
        const hog = "exec python3 -c 'held = []\nwhile True: held.append(b\"x\" * (8 << 20))'";
        await node.machines.agent("heavy").processes.spawn({ command: "sh", args: ["-c", hog] });
        const exit = await Promise.race([ended, sleep(60_000).then(() => assert.fail("nobody ended"))]);
        assert.equal(exit.reason, "evicted");
        assert.match(exit.detail, /short of memory.*\(\d{3,4} MiB\)/);
        for (const id of ["light", "other"])
          assert.equal(await sh({ agent: node.machines.agent(id) }, "echo alive"), "alive");
        assert.equal((await node.status()).ended.evicted, 1);
      } finally {
        await node.close("end");
      }
    } finally {
      await first.close("end");
      await rm(home, { recursive: true, force: true });
    }
  },
);
