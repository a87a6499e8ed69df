/** What `exposeVscode` can be asked for, as it is seen in Chromium: extensions, settings, a preview, no button that stops the editor. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { packExtension } from "./package.ts";
import { noBrowser, Workbench } from "./workbench.ts";

await sharedPlatform();
const folder = "/home/app/project";
/** An emulated processor on a busy host needs minutes. `until` waits four times as long. */
const patience = 225_000;
let sandbox: Sandbox;
const stopButton = '.statusbar-item[id*="caisson.stopEditor"]';

before(async () => {
  sandbox = await Sandbox.create({ timeout: "30m", allowNet: [] });
  await sandbox.fs.mkdir(folder);
  await sandbox.fs.writeTextFile(`${folder}/notes.txt`, "first line\n");
});
after(() => sandbox.kill().catch(() => undefined));

test(
  "a package in the sandbox is installed and runs; settings hold; the preview opens; there is no stop button",
  { skip: noBrowser },
  async () => {
    const id = await packExtension(sandbox, "/tmp/marker.vsix", `${folder}/mark.txt`);
    await sandbox.sh`mkdir -p /tmp/www && echo "<p>from the preview</p>" > /tmp/www/index.html`;
    const server = await sandbox.spawn("python3", {
      args: ["-m", "http.server", "8000", "-d", "/tmp/www"],
      stdout: "null",
      stderr: "null",
    });
    server.status.catch(() => undefined);
    const preview = await sandbox.exposeHttp({ port: 8000 });
    const editor = await sandbox.exposeVscode(folder, {
      extensions: ["/tmp/marker.vsix"],
      preview,
      disableStopButton: true,
      editorSettings: { "workbench.colorTheme": "Default Light+", "editor.fontSize": 31 },
    });
    try {
      await using workbench = await Workbench.open(editor.url);
      const { page } = workbench;
      const mark = await until(patience, "the extension's mark", async () =>
        sandbox.fs.readTextFile(`${folder}/mark.txt`).catch(() => undefined),
      );
      assert.match(mark, /^1\.\d+\.\d+/);
      const frame = await until(patience, "the preview's frame", () =>
        page.frames().find((one) => one.url().startsWith(preview)),
      );
      await frame.waitForSelector("text=from the preview", { timeout: 4 * patience });
      await workbench.picture("preview");
      await workbench.openFile("notes.txt");
      const size = await page.evaluate(
        "getComputedStyle(document.querySelector('.editor-instance .view-lines')).fontSize",
      );
      assert.equal(size, "31px");
      assert.equal(await page.locator(".monaco-workbench.vs").count(), 1, "the light theme");
      await workbench.picture("options");
      // Both parts of the image's own extension start together; the preview was opened by it.
      assert.equal(await page.locator(stopButton).count(), 0);
      assert.match(await sandbox.sh`ls ${"/tmp"}/caisson-vscode-*/extensions`.text(), new RegExp(id));
    } finally {
      await editor.kill();
    }
  },
);

test("otherwise the button stops the editor, after a question", { skip: noBrowser }, async () => {
  const editor = await sandbox.exposeVscode(folder);
  try {
    await using workbench = await Workbench.open(editor.url);
    await workbench.page.click(stopButton);
    await workbench.page.waitForSelector(".monaco-dialog-box");
    await workbench.picture("stop");
    await workbench.page.click('.monaco-dialog-box .monaco-button:text-is("Stop")');
    const { signal } = await editor.status;
    assert.equal(signal, "SIGTERM");
  } finally {
    await editor.kill().catch(() => undefined);
  }
});
