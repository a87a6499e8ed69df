/** VS Code in a browser by the official client's `exposeVscode`: Chromium, a file, a terminal. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Sandbox, type VsCode } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { noBrowser, Workbench } from "./workbench.ts";

await sharedPlatform();
const folder = "/home/app/project";
let sandbox: Sandbox;
let editor: VsCode;

const read = (path: string) => sandbox.fs.readTextFile(path).catch(() => "");

before(async () => {
  sandbox = await Sandbox.create({ timeout: "20m" });
  await sandbox.fs.mkdir(folder);
  await sandbox.fs.writeTextFile(`${folder}/notes.txt`, "first line\n");
});
after(() => sandbox.kill().catch(() => undefined));

test("the editor listens only inside the sandbox, and its output can be read", async (t) => {
  const started = performance.now();
  editor = await sandbox.exposeVscode(folder, {
    env: { OWN: "yes" },
    editorSettings: { "workbench.colorTheme": "Default Dark+" },
  });
  t.diagnostic(`exposeVscode answered after ${((performance.now() - started) / 1000).toFixed(1)} s`);
  assert.match(editor.url, /^https:\/\/[a-z2-7]{32}\.localhost:\d+$/);
  // The agent's resolver and redirection listen as well.
  const listening = await sandbox.sh`ss -Hltn | awk '{print $4}' | grep -Ev ':(53|61101|61153)$'`.text();
  assert.match(listening, /^127\.0\.0\.1:\d+\n$/);
  const first = await editor.stdout.getReader().read();
  assert.match(new TextDecoder().decode(first.value), /code-server/);
});

test(
  "Chromium shows the folder; a file is edited and saved; a terminal runs a command",
  { skip: noBrowser },
  async (t) => {
    for (const visit of ["first", "second"]) {
      const started = performance.now();
      const workbench = await Workbench.open(editor.url);
      t.diagnostic(`${visit} visit: usable after ${((performance.now() - started) / 1000).toFixed(1)} s`);
      try {
        if (visit === "second") continue;
        await workbench.picture("workbench");
        await workbench.openFile("notes.txt");
        await workbench.addLine("written in the browser");
        const edited = "first line\nwritten in the browser";
        await until(120_000, "the saved file", async () => (await read(`${folder}/notes.txt`)) === edited || undefined);
        await workbench.picture("edited");
        await workbench.runInTerminal("echo $OWN-$((6*7))-${DENO_DEPLOY_SANDBOX_TOKEN:-none} > ran.txt; pwd");
        await until(120_000, "the command's file", async () => (await read(`${folder}/ran.txt`)) !== "" || undefined);
        await workbench.picture("terminal");
        assert.equal(await read(`${folder}/ran.txt`), "yes-42-none\n", "the organisation's token stays outside");
      } finally {
        await workbench.close();
      }
    }
  },
);

test("kill ends it, with its status; its name then leads nowhere", async () => {
  await editor.kill();
  const { success, code, signal } = await editor.status;
  assert.deepEqual({ success, code, signal }, { success: false, code: 143, signal: "SIGTERM" });
  assert.doesNotMatch(await sandbox.sh`ps -eo args`.text(), /start\.cjs/);
});
