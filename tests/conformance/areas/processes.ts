/** Rows 25-33: programs. */
import assert from "node:assert/strict";
import process from "node:process";
import { bytes, rejection, text, until, within, type Scenario } from "../runner/scenario.ts";

export const scenarios: readonly Scenario[] = [
  {
    row: 25,
    title: "both outputs arrive whole and apart",
    async run({ sandbox }) {
      const child = await sandbox.spawn("bash", {
        args: ["-c", "echo out; echo err >&2"],
        stdout: "piped",
        stderr: "piped",
      });
      assert.ok(child.pid > 0);
      const { status, stdoutText, stderrText } = await child.output();
      assert.equal(status.code, 0);
      assert.equal(stdoutText, "out\n");
      assert.equal(stderrText, "err\n");
    },
  },
  {
    row: 25,
    title: "four megabytes arrive in order",
    async run({ sandbox }) {
      const child = await sandbox.spawn("bash", { args: ["-c", "seq 1 600000"], stdout: "piped", stderr: "null" });
      const { stdoutText } = await child.output();
      const lines = (stdoutText ?? "").trimEnd().split("\n");
      assert.equal(lines.length, 600_000);
      assert.ok(lines.every((line, index) => line === String(index + 1)));
    },
  },
  {
    row: 25,
    title: "output arrives while the program runs",
    async run({ sandbox }) {
      const child = await sandbox.spawn("bash", {
        args: ["-c", "echo first; read -r line; echo $line"],
        stdin: "piped",
        stdout: "piped",
      });
      const reader = child.stdout!.getReader();
      assert.equal(text((await reader.read()).value ?? null), "first\n");
      const writer = child.stdin!.getWriter();
      await writer.write(bytes("second\n"));
      assert.equal(text((await reader.read()).value ?? null), "second\n");
      // The program has read its line and may have ended before its input does.
      await writer.close().catch(() => undefined);
      assert.equal((await child.status).success, true);
    },
  },
  {
    row: 26,
    title: "inherited output is printed here, null output nowhere",
    async run({ sandbox }) {
      const printed: string[] = [];
      const write = process.stdout.write.bind(process.stdout);
      process.stdout.write = (chunk: Uint8Array | string) => {
        printed.push(typeof chunk === "string" ? chunk : text(chunk));
        return true;
      };
      try {
        const child = await sandbox.spawn("echo", { args: ["inherited"], stdout: "inherit", stderr: "null" });
        assert.equal(child.stdout, null);
        assert.equal(child.stderr, null);
        await child.status;
        await until(5_000, "the inherited output", async () => printed.join("").includes("inherited\n"));
      } finally {
        process.stdout.write = write;
      }
      const silent = await sandbox.spawn("bash", {
        args: ["-c", "echo x; echo y >&2"],
        stdout: "null",
        stderr: "null",
      });
      assert.equal(silent.stdout, null);
      assert.deepEqual(await silent.output().then((output) => [output.stdout, output.stderr, output.status.code]), [
        null,
        null,
        0,
      ]);
    },
  },
  {
    row: 27,
    title: "piped input arrives and ends",
    async run({ sandbox }) {
      const child = await sandbox.spawn("cat", { stdin: "piped", stdout: "piped" });
      const writer = child.stdin!.getWriter();
      for (const part of ["one ", "two ", "three"]) await writer.write(bytes(part));
      await writer.close();
      assert.equal((await child.output()).stdoutText, "one two three");
    },
  },
  {
    row: 27,
    title: "a megabyte of input survives the round trip",
    async run({ sandbox }) {
      const data = new Uint8Array(1_000_000).map((_, index) => (index * 7) % 251);
      const child = await sandbox.spawn("cat", { stdin: "piped", stdout: "piped" });
      const writer = child.stdin!.getWriter();
      const written = (async () => {
        for (let at = 0; at < data.length; at += 50_000) await writer.write(data.slice(at, at + 50_000));
        await writer.close();
      })();
      const [{ stdout }] = await Promise.all([child.output(), written]);
      assert.deepEqual(stdout, data);
    },
  },
  {
    row: 27,
    title: "without piped input a program reads the end at once",
    async run({ sandbox }) {
      const child = await sandbox.spawn("cat", { stdout: "piped" });
      const { status, stdoutText } = await within(10_000, "the end of cat", child.output());
      assert.equal(status.code, 0);
      assert.equal(stdoutText, "");
    },
  },
  {
    row: 28,
    title: "arguments are passed as they are",
    async run({ sandbox }) {
      const args = ["%s|", "a b", "", "$HOME", "'\"", "ünï", "*"];
      const child = await sandbox.spawn("printf", { args, stdout: "piped" });
      assert.equal((await child.output()).stdoutText, "a b||$HOME|'\"|ünï|*|");
    },
  },
  {
    row: 28,
    title: "environment, empty environment and directory",
    async run({ sandbox, directory }) {
      await sandbox.env.set("FROM_SANDBOX", "yes");
      const run = async (clearEnv: boolean): Promise<string> => {
        const child = await sandbox.spawn("/bin/sh", {
          args: ["-c", "echo $A_B,$FROM_SANDBOX,$PWD"],
          env: { A_B: "c d" },
          clearEnv,
          cwd: directory,
          stdout: "piped",
        });
        return (await child.output()).stdoutText ?? "";
      };
      assert.equal(await run(false), `c d,yes,${directory}\n`);
      assert.equal(await run(true), `c d,,${directory}\n`);
      const home = await (await sandbox.spawn("pwd", { stdout: "piped" })).output();
      assert.equal(home.stdoutText, "/home/app\n");
    },
  },
  {
    row: 29,
    title: "a missing program is NotFound",
    async run({ sandbox }) {
      const error = await rejection(sandbox.spawn("no-such-program-anywhere"));
      assert.equal(error.constructor.name, "NotFound");
      assert.equal(error.code, "ENOENT");
      assert.equal((await rejection(sandbox.spawn("/no/such/program"))).code, "ENOENT");
    },
  },
  {
    row: 30,
    title: "status: code, failure, signal",
    async run({ sandbox }) {
      const status = async (command: string) => (await sandbox.spawn("bash", { args: ["-c", command] })).status;
      assert.deepEqual(await status("exit 0"), { success: true, code: 0, signal: null, oom: false });
      assert.deepEqual(await status("exit 7"), { success: false, code: 7, signal: null, oom: false });
      assert.deepEqual(await status("kill -KILL $$"), { success: false, code: 137, signal: "SIGKILL", oom: false });
    },
  },
  {
    row: 31,
    title: "kill: SIGTERM by default, any signal by name, a dead process silently",
    async run({ sandbox }) {
      const start = () => sandbox.spawn("sleep", { args: ["1000"] });
      const first = await start();
      await first.kill();
      assert.deepEqual(await first.status, { success: false, code: 143, signal: "SIGTERM", oom: false });
      const second = await start();
      await second.kill("SIGINT");
      assert.equal((await second.status).signal, "SIGINT");
      await second.kill();
      await second.kill("SIGKILL");
      const third = await start();
      const error = await rejection(third.kill("SIGNONSENSE" as never));
      assert.equal(error.constructor.name, "TypeError");
      await third.kill("SIGKILL");
      assert.equal((await third.status).code, 137);
    },
  },
  {
    row: 32,
    title: "an abort signal ends the program with SIGTERM",
    async run({ sandbox }) {
      const controller = new AbortController();
      const child = await sandbox.spawn("sleep", { args: ["1000"], signal: controller.signal });
      controller.abort();
      assert.deepEqual(await child.status, { success: false, code: 143, signal: "SIGTERM", oom: false });
    },
  },
  {
    row: 33,
    title: "a cancelled output stops the producer and nothing else",
    async run({ sandbox }) {
      const child = await sandbox.spawn("yes", { stdout: "piped", stderr: "null" });
      const reader = child.stdout!.getReader();
      assert.ok((await reader.read()).value!.length > 0);
      await reader.cancel(new Error("enough"));
      // Without a reader `yes` gets SIGPIPE; were the pipe drained instead, it would run on until killed.
      const ended = await Promise.race([
        child.status,
        new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 2_000)),
      ]);
      if (ended === undefined) await child.kill("SIGKILL");
      else assert.equal(ended.success, false);
      await child.status;
      assert.equal(await sandbox.sh`echo fine`.text(), "fine\n");
    },
  },
];
