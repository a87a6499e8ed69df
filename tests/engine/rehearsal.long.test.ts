/** Clones that are prepared for root disks of owners: each round fills the pool anew, which takes long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create, identity, sh, withEngine } from "./engine.ts";

const GiB = 2 ** 30;

test(
  "clones from the pool move to an owner's root, and nothing of a rehearsal is left in them",
  { timeout: 240_000 },
  () =>
    withEngine({ pool: 1 }, async (node) => {
      await node.layers.format("root", GiB);
      const root = { layers: ["root"], readOnly: false, serial: "mine", bytes: GiB } as const;
      const leftovers =
        "ls /mnt; grep -l rehearsal /etc/host*; grep Caisson: /etc/ssl/certs/ca-certificates.crt; ls /usr/local/share/ca-certificates; find /etc/ssl/certs -name '????????.?' -lname '*/caisson.crt'; true";
      // Only once root disks are asked for do clones rehearse them.
      for (const hostname of ["unrehearsed", "rehearsed", "plain"]) {
        while ((await node.status()).pooled === 0) await sleep(100);
        const machine = await create(node, { hostname, ...(hostname === "plain" ? {} : { root }) });
        assert.match(await sh(machine, identity), new RegExp(`^[0-9a-f]{32} ${hostname} ${hostname} 1$`));
        assert.equal(await sh(machine, leftovers), "", "nothing of a rehearsal");
        await node.machines.stop(machine.id);
      }
    }),
);
