/** Rows 6, 42-45: environment variables of the sandbox. */
import assert from "node:assert/strict";
import { Sandbox } from "@deno/sandbox";
import type { Scenario } from "../runner/scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    row: 6,
    title: "variables given at create reach every program",
    async run() {
      await using sandbox = await Sandbox.create({ env: { GREETING: "grüße = 'x'", EMPTY: "" } });
      assert.equal(await sandbox.sh`printf %s "$GREETING"`.text(), "grüße = 'x'");
      assert.equal(await sandbox.sh`printf %s "\${EMPTY-unset}"`.text(), "");
    },
  },
  {
    row: 42,
    title: "get: a value, and undefined for a missing name",
    async run({ sandbox }) {
      assert.equal(await sandbox.env.get("HOME"), "/home/app");
      assert.match((await sandbox.env.get("PATH")) ?? "", /\/usr\/bin/);
      assert.equal(await sandbox.env.get("NO_SUCH_NAME"), undefined);
    },
  },
  {
    row: 43,
    title: "set: programs started later see it",
    async run({ sandbox }) {
      await sandbox.env.set("SET_HERE", "a=b c");
      assert.equal(await sandbox.env.get("SET_HERE"), "a=b c");
      assert.equal(await sandbox.sh`printf %s "$SET_HERE"`.text(), "a=b c");
      await sandbox.env.set("SET_HERE", "");
      assert.equal(await sandbox.env.get("SET_HERE"), "");
    },
  },
  {
    row: 44,
    title: "all: defaults and what was set",
    async run({ sandbox }) {
      await sandbox.env.set("IN_OBJECT", "yes");
      const all = await sandbox.env.toObject();
      assert.equal(all["HOME"], "/home/app");
      assert.equal(all["IN_OBJECT"], "yes");
      assert.ok("DENO_DEPLOY_ORGANIZATION_ID" in all, Object.keys(all).join());
    },
  },
  {
    row: 45,
    title: "delete: gone for programs started later, and twice is fine",
    async run({ sandbox }) {
      await sandbox.env.set("DOOMED", "1");
      await sandbox.env.delete("DOOMED");
      await sandbox.env.delete("DOOMED");
      assert.equal(await sandbox.env.get("DOOMED"), undefined);
      assert.equal(await sandbox.sh`printf %s "\${DOOMED-gone}"`.text(), "gone");
    },
  },
];
