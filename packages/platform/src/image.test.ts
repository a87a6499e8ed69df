import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";

const cache = await mkdtemp(join(tmpdir(), "caisson-cache-"));
after(() => rm(cache, { recursive: true }));

/** In a process of its own, because the cache is read from the environment when a program begins. */
function run(expression: string): string {
  const program = `
    const { ownImage } = await import(${JSON.stringify(join(import.meta.dirname, "image.ts"))});
    const { wantedImage } = await import(${JSON.stringify(join(import.meta.dirname, "../../../scripts/setup/artifacts.mjs"))});
    process.stdout.write(JSON.stringify(${expression}));`;
  return execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    env: { ...process.env, CAISSON_CACHE: cache },
    encoding: "utf8",
  });
}

test("the image of this checkout is booted, whatever another checkout set up last; without it the error names the command", async () => {
  const message = () => run("await ownImage().catch((error) => [error.code, error.message])");
  assert.match(
    message(),
    /"unavailable".*is not built: .*base\.erofs does not exist.*node scripts\/setup\.mjs --for start/,
  );
  const image = JSON.parse(run("wantedImage()")) as Record<"base" | "kernel" | "initramfs", string>;
  for (const file of [image.base, image.kernel, image.initramfs]) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, "");
  }
  const other = { ...image, key: "other", initramfs: join(cache, "images/boot/other/initramfs.cpio") };
  await writeFile(join(cache, "images/current.json"), JSON.stringify(other));
  assert.deepEqual(JSON.parse(run("await ownImage()")), image);
  await rm(image.initramfs);
  assert.match(message(), /initramfs\.cpio does not exist/);
});
