/** Attacks on the disk tools themselves, as if the machine had ended and its monitor had not. */
import { strict as assert } from "node:assert";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execFileSync } from "node:child_process";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { createCanary, HeaderAttacker, hasCanary, momentOf } from "./header-attack.ts";

/**
 * Copies and merges layers while a header of the chain changes. Each finished copy must be without the canary, and
 * some must finish: a test in which every tool fails would show nothing.
 */
export async function attackTools(attempts: number): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "caisson-rounds-"));
  const images = join(directory, "layers");
  const layers = new LocalLayers(images, new DirectoryBlobs(join(directory, "blobs")));
  const path = (name: string) => join(images, name);
  let attacker: HeaderAttacker | undefined;
  let finished = 0;
  try {
    await layers.open();
    await layers.format("bottom", 16e6);
    await layers.overlay("middle", "bottom");
    await layers.overlay("top", "middle");
    for (const [id, pattern] of [
      ["middle", 2],
      ["top", 3],
    ] as const)
      execFileSync("qemu-io", ["-c", `write -P ${pattern} ${4 * pattern}M 64k`, path(`${id}.qcow2`)]);
    const canary = await createCanary(directory);
    attacker = await HeaderAttacker.start(path("top.qcow2"), canary, directory);
    await chmod(path("top.qcow2"), 0o444);
    const chain = ["top", "middle", "bottom"];
    for (let attempt = 0; attempt < attempts; attempt++) {
      const onto = attempt % 2 === 0 ? null : "bottom";
      const copy: string | undefined = await attacker.attack(momentOf(attempt), () => layers.copy(chain, onto));
      if (copy !== undefined) {
        finished++;
        assert.equal(hasCanary(path(copy)), false, `attempt ${attempt}`);
        await layers.discardCopy(copy);
      }
      assert.deepEqual(await layers.chain("top"), chain, "the header is as before");
    }
    assert.ok(finished >= attempts / 4, `${finished} of ${attempts} copies finished`);
  } finally {
    await attacker?.end();
    await rm(directory, { recursive: true });
  }
}
