/** Rows 76-80: Deno programs. */
import assert from "node:assert/strict";
import { within, type Scenario } from "../runner/scenario.ts";

const serve = `
const server = Deno.serve({ port: 0, onListen() {} }, async (request) => {
  const url = new URL(request.url);
  if (url.pathname === "/redirect") return new Response(null, { status: 302, headers: { location: "/there" } });
  return Response.json({ method: request.method, path: url.pathname + url.search, body: await request.text(), own: request.headers.get("x-own") });
});
`;

export const scenarios: readonly Scenario[] = [
  {
    row: 76,
    title: "code: TypeScript by default, arguments, environment, input, exit code",
    async run({ sandbox }) {
      const program = await sandbox.deno.run({
        code: "const list: string[] = Deno.args; const input = await new Response(Deno.stdin.readable).text(); console.log(JSON.stringify([list, Deno.env.get('A_B'), input, Deno.cwd()])); Deno.exit(5);",
        scriptArgs: ["one", "two words"],
        env: { A_B: "c" },
        cwd: "/tmp",
        stdin: "piped",
        stdout: "piped",
      });
      const writer = program.stdin!.getWriter();
      await writer.write(new TextEncoder().encode("typed in"));
      await writer.close();
      const { status, stdoutText } = await program.output();
      assert.deepEqual(JSON.parse(stdoutText ?? ""), [["one", "two words"], "c", "typed in", "/tmp"]);
      assert.equal(status.code, 5);
    },
  },
  {
    row: 76,
    title: "code: other extensions, and permissions for everything",
    async run({ sandbox }) {
      const program = await sandbox.deno.run({
        code: "console.log(require('node:fs').readFileSync('/etc/hostname').length > 0)",
        extension: "cjs",
        stdout: "piped",
      });
      assert.equal((await program.output()).stdoutText, "true\n");
    },
  },
  {
    row: 77,
    title: "a file with an import",
    async run({ sandbox, directory }) {
      await sandbox.fs.writeTextFile(
        `${directory}/main.ts`,
        "import { value } from './other.ts'; console.log(value, Deno.args.length);",
      );
      await sandbox.fs.writeTextFile(`${directory}/other.ts`, "export const value: number = 42;");
      const program = await sandbox.deno.run({
        entrypoint: `${directory}/main.ts`,
        scriptArgs: ["x"],
        stdout: "piped",
      });
      assert.deepEqual(await program.output().then((output) => [output.stdoutText, output.status.code]), ["42 1\n", 0]);
    },
  },
  {
    row: 78,
    title: "a change restarts a watched program and says so",
    limit: 120_000,
    async run({ sandbox, directory }) {
      const path = `${directory}/watched.ts`;
      await sandbox.fs.writeTextFile(path, "console.log('first'); setInterval(() => {}, 1000);");
      const program = await sandbox.deno.run({ entrypoint: path, watch: true, stdout: "piped", stderr: "null" });
      const restarted = new Promise<void>((resolve) =>
        program.addEventListener("restart", () => resolve(), { once: true }),
      );
      const reader = program.stdout!.pipeThrough(new TextDecoderStream()).getReader();
      const seen = async (word: string): Promise<void> => {
        for (let text = ""; !text.includes(word);) {
          const { value, done } = await within(30_000, `the word ${word}`, reader.read());
          assert.equal(done, false, `the output ended before ${word}`);
          text += value;
        }
      };
      await seen("first");
      // Deno misses changes in the first moments of a watched program, and on a busy host those are long.
      const change = () => sandbox.fs.writeTextFile(path, "console.log('second'); setInterval(() => {}, 1000);");
      await new Promise((resolve) => setTimeout(resolve, 1500));
      await change();
      const again = setInterval(() => void change().catch(() => undefined), 12_000);
      await seen("second").finally(() => clearInterval(again));
      await within(5_000, "the restart event", restarted);
      await program.kill("SIGKILL");
      await within(10_000, "the end of the watched program", program.status);
    },
  },
  {
    row: 79,
    title: "ready: true when it serves, false when it ends first",
    async run({ sandbox }) {
      const server = await sandbox.deno.run({ code: serve });
      assert.equal(await server.httpReady, true);
      await server.kill();
      const brief = await sandbox.deno.run({ code: "console.log('done')", stdout: "null" });
      assert.equal(await brief.httpReady, false);
    },
  },
  {
    row: 80,
    title: "fetch goes to the program whatever the host",
    async run({ sandbox }) {
      const server = await sandbox.deno.run({ code: serve });
      assert.equal(await server.httpReady, true);
      const response = await server.fetch("https://example.com/path?q=1", {
        method: "PUT",
        body: "hello",
        headers: { "x-own": "yes" },
      });
      assert.deepEqual(await response.json(), { method: "PUT", path: "/path?q=1", body: "hello", own: "yes" });
      assert.equal((await server.fetch("http://localhost/redirect", { redirect: "manual" })).status, 302);
      assert.equal(
        ((await (await server.fetch("http://localhost/redirect")).json()) as { path: string }).path,
        "/there",
      );
      await server.kill();
    },
  },
];
