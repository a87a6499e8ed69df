/** Row 93 (rows 89 and 90 are for the Python client and the bare wire): the sandbox ends under open work. */
import assert from "node:assert/strict";
import { Sandbox } from "@deno/sandbox";
import { rejection, within, type Scenario } from "../runner/scenario.ts";

export const shared = false;

export const scenarios: readonly Scenario[] = [
  {
    row: 93,
    title: "pending calls fail, open streams end",
    async run() {
      const sandbox = await Sandbox.create({ timeout: "5m" });
      const other = await Sandbox.connect(sandbox.id);
      const child = await sandbox.spawn("bash", { args: ["-c", "echo begin; exec sleep 1000"], stdout: "piped" });
      const reader = child.stdout!.getReader();
      await reader.read();
      const status = Promise.allSettled([child.status]);
      const rest = Promise.allSettled([reader.read()]);
      const repl = await sandbox.deno.repl();
      const evaluation = rejection(repl.eval("await new Promise(() => {})"));
      await other.kill();
      await within(5_000, "closed", sandbox.closed);
      const [ended] = await within(5_000, "the pending status", status);
      assert.ok(ended.status === "rejected" || ended.value.code !== 0);
      const [read] = await within(5_000, "the open stream", rest);
      assert.ok(read.status === "rejected" || read.value.done);
      await within(5_000, "the pending evaluation", evaluation);
      await rejection(sandbox.fs.readTextFile("/etc/hostname"));
    },
  },
];
