/**
 * Autobahn's suite for WebSockets against a program in a sandbox, through its preview, and against the same program on this host directly. All of the
 * suite is tried without a sandbox (packages/gateway/src/autobahn.long.test.ts); here are its cases about the protocol.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Sandbox } from "@deno/sandbox";
import { autobahn, goWorse, namedBridge, sharedPlatform, until } from "@caisson/testing";
import { WebSocket } from "ws";

const limit = 900_000;
const wstest = await autobahn(limit);
const skip = wstest === undefined && "needs Python 2.7 with pip, and PyPI for autobahntestsuite";
await sharedPlatform();

const program = `import { WebSocketServer } from "ws";
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2]), maxFragments: 1e6 });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("error", () => undefined);
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
`;

test("the protocol's cases through a preview of a sandbox", { skip, timeout: 3 * limit }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "csn-echo-"));
  t.after(() => rm(directory, { recursive: true, force: true }));
  await cp(dirname(fileURLToPath(import.meta.resolve("ws"))), join(directory, "node_modules/ws"), { recursive: true });
  await writeFile(join(directory, "echo.mjs"), program);
  await promisify(execFile)("tar", ["czf", "all.tar.gz", "echo.mjs", "node_modules"], { cwd: directory });

  const own = spawn(process.execPath, ["echo.mjs", "0"], { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => own.kill());
  const port = Number(String((await once(own.stdout, "data"))[0]));

  const sandbox = await Sandbox.create({ allowNet: [], timeout: "30m" });
  t.after(() => sandbox.kill().catch(() => undefined));
  await sandbox.fs.writeFile("/tmp/all.tar.gz", await readFile(join(directory, "all.tar.gz")));
  await sandbox.sh`mkdir -p /tmp/echo && tar xzf /tmp/all.tar.gz -C /tmp/echo`;
  const echo = await sandbox.spawn("node", {
    args: ["echo.mjs", "8000"],
    cwd: "/tmp/echo",
    stdout: "null",
    stderr: "null",
  });
  echo.status.catch(() => undefined);
  const url = new URL(await sandbox.exposeHttp({ port: 8000 }));
  const bridge = await namedBridge(Number(url.port), url.host);
  t.after(() => bridge.close());
  const preview = `ws://127.0.0.1:${bridge.port}`;
  await until(200_000, "the program in the sandbox", async () => (await opens(preview)) || undefined);

  const cases = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"];
  const { worse, counts } = await goWorse(wstest!, { direct: `ws://127.0.0.1:${port}`, preview }, cases);
  t.diagnostic(counts);
  assert.deepEqual(worse, []);
});

function opens(url: string): Promise<boolean> {
  const socket = new WebSocket(url);
  return new Promise<boolean>((resolve) => {
    socket.once("open", () => resolve(true));
    socket.once("error", () => resolve(false));
  }).finally(() => socket.terminate());
}
