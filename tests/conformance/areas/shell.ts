/** Rows 34-36: the shell template. */
import assert from "node:assert/strict";
import { KillController } from "@deno/sandbox";
import { rejection, within, type Scenario } from "../runner/scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    row: 34,
    title: "text, JSON, result, quoting of substitutions",
    async run({ sandbox }) {
      assert.equal(await sandbox.sh`echo hello`.text(), "hello\n");
      assert.deepEqual(await sandbox.sh`echo '{"a":[1,2]}'`.json(), { a: [1, 2] });
      assert.equal(await sandbox.sh`printf %s ${"a b; echo $HOME 'x'"}`.text(), "a b; echo $HOME 'x'");
      assert.equal(await sandbox.sh`printf '%s|' ${["a b", "c"]}`.text(), "a b|c|");
      const result = await sandbox.sh`echo out`.stdout("piped");
      assert.equal(result.status.code, 0);
      assert.equal(result.stdoutText, "out\n");
      const pipeline = await sandbox.sh`printf 'b\na\n' | sort | tr '\n' ,`.text();
      assert.equal(pipeline, "a,b,");
    },
  },
  {
    row: 34,
    title: "a failing command throws with its code",
    async run({ sandbox }) {
      const error = await rejection(sandbox.sh`exit 3`);
      assert.equal(error.constructor.name, "SandboxCommandError");
      assert.equal(error.code, 3);
    },
  },
  {
    row: 35,
    title: "no throw, environment, directory, sudo, pipes",
    async run({ sandbox, directory }) {
      assert.equal((await sandbox.sh`exit 4`.noThrow()).status.code, 4);
      await sandbox.sh`test "$GREETING" = "good day"`.env("GREETING", "good day");
      await sandbox.sh`test "$PWD" = ${directory}`.cwd(directory);
      await sandbox.sh`test "$(id -u)" = 1000`;
      // One command, because the client puts `sudo` in front of the text.
      await sandbox.sh`test -r /etc/shadow`.sudo();
      assert.equal((await rejection(sandbox.sh`test -r /etc/shadow`)).code, 1);
      assert.equal((await sandbox.sh`echo oops >&2`.stderr("piped")).stderrText, "oops\n");
    },
  },
  {
    row: 35,
    title: "client bug: of a chain of settings only the last one counts",
    async run({ sandbox }) {
      assert.equal(await sandbox.sh`echo "[$LOST]"`.env("LOST", "x").text(), "[]\n");
    },
  },
  {
    row: 36,
    title: "a kill controller ends the whole pipeline",
    async run({ sandbox }) {
      const controller = new KillController();
      const running = rejection(sandbox.sh`sleep 998 | cat`.signal(controller.signal));
      await sandbox.sh`until pgrep -f 'sleep 998' -x; do :; done`.stdout("null");
      controller.kill();
      const error = await within(10_000, "the end of the pipeline", running);
      assert.equal(error.code, 143);
      assert.equal((await sandbox.sh`pgrep -f 'sleep 998' -x`.noThrow()).status.code, 1);
    },
  },
];
