import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { preload, readLine } from "./marks.ts";

const execute = promisify(execFile);
const ids = ["0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "1af7651916cd43dd8448eb211c80319c-c7ad6b7169203332"];
let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-marks-"));
});
after(() => rm(directory, { recursive: true, force: true }));

/** Two requests at a time; the first one prints last. */
const asks = (url: string) => `
const ids = ${JSON.stringify(ids)};
await Promise.all(ids.map((id, index) =>
  fetch(${url}, { headers: { traceparent: "00-" + id + "-01", wait: String(200 - index * 150) } }).then((r) => r.text())));`;

test("Node.js: lines of requests that are served at the same time have their own ids", async () => {
  const file = join(directory, "node.mjs");
  const code = `
import { createServer } from "node:http";
const server = createServer((request, response) => setTimeout(() => {
  console.warn("served\\n", { wait: request.headers.wait });
  console.log("%s is formatted", "this");
  response.end();
}, Number(request.headers.wait))).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
console.debug("starts");
${asks('"http://127.0.0.1:" + server.address().port')}
process.exit();`;
  await writeFile(file, code);
  const { stdout, stderr } = await execute(process.execPath, ["--import", preload, file], { timeout: 60_000 });
  const [starts, ...formatted] = stdout
    .trimEnd()
    .split("\n")
    .map((line) => readLine(line, "info"));
  assert.deepEqual(starts, { level: "debug", message: "starts" });
  assert.deepEqual(
    formatted,
    [1, 2].map(() => ({ level: "info", message: "this is formatted" })),
  );
  const lines = stderr
    .trimEnd()
    .split("\n")
    .map((line) => readLine(line, "error"));
  const [first, second] = ids.map((id) => ({ traceId: id.slice(0, 32), spanId: id.slice(33) }));
  assert.deepEqual(lines, [
    { level: "warn", message: "served", ...second },
    { level: "warn", message: " { wait: '50' }", ...second },
    { level: "warn", message: "served", ...first },
    { level: "warn", message: " { wait: '200' }", ...first },
  ]);
});

test("Deno: all forms of Deno.serve", async () => {
  const file = join(directory, "deno.mjs");
  const code = `
const handler = async (request) => {
  await new Promise((resolve) => setTimeout(resolve, Number(request.headers.get("wait"))));
  console.error(new URL(request.url).pathname);
  return new Response("ok");
};
const options = { port: 0, hostname: "127.0.0.1", onListen() {} };
for (const [path, args] of [["/one", [options, handler]], ["/two", [{ ...options, handler }]]]) {
  const server = Deno.serve(...args);
  ${asks('"http://127.0.0.1:" + server.addr.port + path')}
  await server.shutdown();
}`;
  await writeFile(file, code);
  const deno = join(import.meta.dirname, "../../../../node_modules/.bin/deno");
  const { stderr } = await execute(deno, ["run", "-A", "--preload", preload, file], {
    timeout: 60_000,
    env: { ...process.env, NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
  });
  const lines = stderr
    .trimEnd()
    .split("\n")
    .map((line) => readLine(line, "error"));
  const found = lines.map(({ message, traceId, spanId }) => `${message} ${traceId}-${spanId}`);
  assert.deepEqual(found, [`/one ${ids[1]}`, `/one ${ids[0]}`, `/two ${ids[1]}`, `/two ${ids[0]}`]);
});

test("what is no mark stays in the message", () => {
  for (const line of ["", "plain", "\u001Efatal-\u001Fx", "\u001Elog-abc\u001Fx", "x\u001Elog-\u001Fy"])
    assert.deepEqual(readLine(line, "info"), { level: "info", message: line });
});

test("a server that says where it listens reports no error", () => {
  const line = "Listening on http://0.0.0.0:8000/ (http://localhost:8000/)";
  assert.deepEqual(readLine(line, "error"), { level: "info", message: line });
  assert.equal(readLine(`${line} failed`, "error").level, "error");
});
