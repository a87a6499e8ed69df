/** Extensions that an editor cannot get: the call fails and says why, and nothing of the editor stays. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform } from "@caisson/testing";

await sharedPlatform();
const folder = "/home/app/project";
let sandbox: Sandbox;

before(async () => {
  sandbox = await Sandbox.create({ timeout: "30m", allowNet: [] });
  await sandbox.fs.mkdir(folder);
});
after(() => sandbox.kill().catch(() => undefined));

test("an extension that cannot be had is said plainly: no marketplace, no package", async () => {
  await assert.rejects(
    sandbox.exposeVscode(folder, { extensions: ["denoland.vscode-deno"] }),
    /could not install denoland\.vscode-deno\. The network policy of this sandbox refuses the marketplace: allow open-vsx\.org/,
  );
  await sandbox.fs.writeTextFile("/tmp/broken.vsix", "not a ZIP file");
  await assert.rejects(sandbox.exposeVscode(folder, { extensions: ["/tmp/broken.vsix"] }), /could not install/);
  assert.doesNotMatch(await sandbox.sh`ps -eo args`.text(), /start\.cjs/, "nothing of the editor goes on");
});
