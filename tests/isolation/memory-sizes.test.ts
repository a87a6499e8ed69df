/** Every memory size is what was asked for, less what the kernel keeps for itself, and can be used. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { fullVariable, sharedPlatform, until } from "@caisson/testing";

await sharedPlatform();

/** One speaks for the others in the short run: it is neither the smallest nor a multiple of a block. */
const sizes = process.env[fullVariable] === "1" ? [768, 1111, 4096] : [1111];
for (const mebibytes of sizes) {
  test(`${mebibytes} MiB`, { timeout: 180_000 }, async () => {
    await using sandbox = await Sandbox.create({ memory: `${mebibytes}MiB` });
    // Memory beyond the smallest size is plugged in; the guest brings it up a moment later.
    const total = await until(10_000, `${mebibytes} MiB in the guest`, async () => {
      const found = Number((await sandbox.sh`awk '/MemTotal/ {print $2}' /proc/meminfo`.text()).trim()) / 1024;
      return found > mebibytes - 160 ? found : undefined;
    });
    // Plugged memory comes in blocks.
    assert.ok(total <= mebibytes + 16, `${total} MiB`);
    const use = Math.floor(mebibytes * 0.6);
    const child = await sandbox.spawn("python3", {
      args: ["-c", `x = bytearray(${use} << 20); print(len(x) >> 20)`],
      stdout: "piped",
    });
    assert.equal((await child.output()).stdoutText, `${use}\n`);
  });
}
