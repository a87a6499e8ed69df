import assert from "node:assert/strict";
import { chown, link, mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { reclaimLinks } from "./unrecorded.ts";

const root = process.getuid?.() === 0;

test(
  "images of volumes are given back without a record, and nothing else changes",
  { skip: !root && "needs root" },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "caisson-unrecorded-"));
    try {
      const disks = join(directory, "disks");
      await mkdir(disks);
      const image = join(directory, "layer.qcow2");
      await writeFile(image, "a volume");
      await link(image, join(disks, "data.0"));
      await chown(image, 1_900_000_001, 1_900_000_001);
      const own = join(disks, "root.0");
      await writeFile(own, "goes with the machine");
      await chown(own, 1_900_000_001, 1_900_000_001);
      await reclaimLinks(disks);
      assert.equal((await stat(image)).uid, 0);
      assert.equal((await stat(own)).uid, 1_900_000_001);
      await reclaimLinks(join(directory, "missing"));
    } finally {
      await rm(directory, { recursive: true });
    }
  },
);
