/** Rows 12, 13, 38 to 41: ports, SSH and an editor of a sandbox, from outside. */
import assert from "node:assert/strict";
import process from "node:process";
import { Sandbox } from "@deno/sandbox";
import { rejection, until, type Scenario } from "../runner/scenario.ts";
import { login } from "../runner/login.ts";
import { visit } from "../runner/visit.ts";

const program = (port: number, name: string) => `
Deno.serve({ port: ${port}, onListen() {} }, async (request) => {
  const url = new URL(request.url);
  if (url.pathname === "/large") return new Response("x".repeat(3_000_000));
  return Response.json({ name: "${name}", method: request.method, path: url.pathname + url.search, body: await request.text(),
    own: request.headers.get("x-own"), host: url.host, proto: request.headers.get("x-forwarded-proto") });
});
`;

interface Echo {
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly body: string;
  readonly own: string | null;
  readonly host: string;
  readonly proto: string | null;
}

/** The program may need a while to listen, and until then the gateway says so. */
const answered = (url: string) =>
  until(30_000, `an answer at ${url}`, async () => {
    const seen = await visit(url);
    return seen.status === 502 ? undefined : seen;
  });
const echoed = async (url: string) => JSON.parse((await answered(url)).body) as Echo;

/** What takes minutes is part of a full run only. */
const full = process.env["CAISSON_TEST_FULL"] === "1";

const editor: Scenario = {
  row: 41,
  title: "an editor: its page, its output, its end",
  // The first use on a host builds the editor's image.
  limit: 900_000,
  async run({ sandbox, directory }) {
    const vscode = await sandbox.exposeVscode(directory, { editorSettings: { "files.autoSave": "off" } });
    assert.match(vscode.url, /^https:\/\/[a-z2-7]{32}\.localhost:\d+$/);
    const { value } = await vscode.stdout.getReader().read();
    assert.match(new TextDecoder().decode(value), /code-server/);
    const page = await until(300_000, "the editor's page", async () => {
      const seen = await visit(`${vscode.url}/?folder=${encodeURIComponent(directory)}`);
      return seen.status === 200 ? seen : undefined;
    });
    assert.match(page.body, /workbench/);
    await vscode.kill();
    const { success, signal } = await vscode.status;
    assert.deepEqual({ success, signal }, { success: false, signal: "SIGTERM" });
    const late = await visit(vscode.url);
    assert.deepEqual([late.status, late.headers["caisson-gateway"]], [502, "not-listening"]);
  },
};

export const scenarios: readonly Scenario[] = [
  ...(full ? [editor] : []),
  {
    row: 41,
    title: "no editor for what is no folder",
    async run({ sandbox, directory }) {
      assert.ok((await rejection(sandbox.exposeVscode(`${directory}/missing`))) instanceof Error);
      await sandbox.fs.writeTextFile(`${directory}/file`, "");
      assert.match(String(await rejection(sandbox.exposeVscode(`${directory}/file`))), /not one/);
    },
  },
  {
    row: 12,
    title: "`ssh` has an address that works from the start",
    async run() {
      await using sandbox = await Sandbox.create({ ssh: true });
      assert.ok(sandbox.ssh !== undefined && sandbox.ssh !== null);
      assert.equal(await login(sandbox.ssh, "cat /etc/debian_version | head -c 3; id -un"), "13.app\n");
    },
  },
  {
    row: 40,
    title: "every call gives another user name; both log in, until the sandbox ends",
    async run() {
      const sandbox = await Sandbox.create();
      const [one, other] = [await sandbox.exposeSsh(), await sandbox.exposeSsh()];
      assert.notEqual(one.username, other.username);
      for (const address of [one, other]) assert.equal(await login(address, "echo in; exit 0"), "in\n");
      await sandbox.kill();
      await rejection(login(one, "true"));
      await rejection(sandbox.exposeSsh());
    },
  },
  {
    row: 13,
    title: "`url` leads to the port from the start",
    async run() {
      await using sandbox = await Sandbox.create({ port: 8080 });
      assert.match(sandbox.url ?? "", /^https:\/\/[a-z2-7]{32}\.localhost:\d+$/);
      const early = await visit(sandbox.url!);
      assert.deepEqual([early.status, early.headers["caisson-gateway"]], [502, "not-listening"]);
      await sandbox.deno.run({ code: program(8080, "by create") });
      assert.equal((await echoed(sandbox.url!)).name, "by create");
    },
  },
  {
    row: 38,
    title: "method, path, headers, body, a large answer",
    async run({ sandbox }) {
      const url = await sandbox.exposeHttp({ port: 8081 });
      await sandbox.deno.run({ code: program(8081, "by port") });
      await answered(url);
      const options = { method: "PUT", headers: { "x-own": "yes" } };
      const seen = await visit(`${url}/a/b?q=1`, options, "grüße");
      assert.equal(seen.status, 200);
      assert.deepEqual(JSON.parse(seen.body), {
        name: "by port",
        method: "PUT",
        path: "/a/b?q=1",
        body: "grüße",
        own: "yes",
        host: new URL(url).host,
        proto: "https",
      });
      assert.equal((await visit(`${url}/large`)).body.length, 3_000_000);
    },
  },
  {
    row: 38,
    title: "every call gives another name; both lead to the port",
    async run({ sandbox }) {
      const [one, other] = [await sandbox.exposeHttp({ port: 8081 }), await sandbox.exposeHttp({ port: 8081 })];
      assert.notEqual(one, other);
      assert.deepEqual([(await echoed(one)).name, (await echoed(other)).name], ["by port", "by port"]);
    },
  },
  {
    row: 38,
    title: "the names of a killed sandbox lead nowhere",
    async run() {
      const sandbox = await Sandbox.create();
      const url = await sandbox.exposeHttp({ port: 80 });
      assert.equal((await visit(url)).status, 502);
      await sandbox.kill();
      assert.equal((await visit(url)).status, 410);
      await rejection(sandbox.exposeHttp({ port: 80 }));
    },
  },
  {
    row: 39,
    title: "a Deno process, on whatever port it listens, and after its end",
    async run({ sandbox }) {
      const process = await sandbox.deno.run({ code: program(0, "by process") });
      const url = await sandbox.exposeHttp(process);
      assert.equal((await echoed(url)).name, "by process");
      await process.kill();
      await process.status;
      const late = await visit(url);
      assert.deepEqual([late.status, late.headers["caisson-gateway"]], [502, "not-listening"]);
    },
  },
];
