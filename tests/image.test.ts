/** What the base image promises to every sandbox. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform } from "@caisson/testing";

await sharedPlatform();

const promises: readonly (readonly [command: string, output: RegExp])[] = [
  ["id -un && sudo id -un", /^app\nroot\n$/],
  ["node --version && npm --version && deno --version", /^v2\d\..*\n1\d\..*\ndeno 2\./],
  ["python3 -m pip --version && python3 -m venv --without-pip /tmp/venv && ls /tmp/venv/bin", /^pip \d.*\nActivate/],
  ["git --version && jq --version && unzip -v | head -1 && xz --version", /git version.*\njq-.*\nUnZip.*\nxz /],
  // Manual pages are left out, and Java's and PostgreSQL's packages fail where the folder is missing too.
  [
    "sudo update-alternatives --install /usr/local/bin/tool tool /bin/true 1 --slave /usr/share/man/man1/tool.1 tool.1 /etc/hostname && tool",
    /in auto mode\n$/,
  ],
];

test("the base image", { timeout: 120_000 }, async (t) => {
  await using sandbox = await Sandbox.create();
  for (const [command, output] of promises)
    await t.test(command, async () => {
      assert.match(await sandbox.sh`sh -c ${`${command} 2>&1 || echo status $?`}`.text(), output);
    });
});
