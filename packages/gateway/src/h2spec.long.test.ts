/**
 * h2spec, the conformance suite for servers of HTTP/2 and HPACK, against the gateway. Without TLS, since h2spec has no way to name a host that DNS
 * does not know: the name of the preview is `127`, below the domain `0.0.1`.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { after, before, test } from "node:test";
import { goTool } from "@caisson/testing";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

let place: Place;
let program: Server;

before(async () => {
  program = createServer((request, response) => {
    request.resume();
    response.end("<h1>h2spec</h1>");
  });
  place = await openPlace({
    programs: { 127: await listenOn(program) },
    config: { domain: "0.0.1", tls: false, requestsPerAddress: 1e6 },
  });
});
after(async () => {
  await place.close();
  program.closeAllConnections();
  program.close();
});

/** Whoever sends something else than HTTP/2 gets the answer of HTTP/1.1, which shares the port. */
const known = new Set(["Sends invalid connection preface"]);

test("h2spec fails nothing that Node's own server passes", { timeout: 600_000 }, async (t) => {
  const tool = await goTool("github.com/summerwind/h2spec/cmd/h2spec", "v2.2.1+incompatible");
  if (tool === undefined) return t.skip("h2spec cannot be built: Go or its module proxy is missing");
  const bare = createHttp2((request, response) => {
    request.resume();
    response.end("<h1>h2spec</h1>");
  });
  const [ours, nodes] = [await failuresOf(tool, place.port), await failuresOf(tool, await listenOn(bare))];
  bare.close();
  t.diagnostic(`gateway: ${ours.counts}; Node: ${nodes.counts}`);
  assert.deepEqual(
    ours.failed.filter((title) => !nodes.failed.includes(title) && !known.has(title)),
    [],
    ours.output.slice(-6000),
  );
  assert.match(ours.counts, /^14\d tests, 13\d passed/);
});

async function failuresOf(
  tool: string,
  port: number,
): Promise<{ readonly failed: string[]; readonly counts: string; readonly output: string }> {
  const args = ["-h", "127.0.0.1", "-p", String(port), "-o", "5"];
  const output = await new Promise<string>((resolve) =>
    execFile(tool, args, { maxBuffer: 1e8, timeout: 250_000 }, (_, stdout) => resolve(stdout)),
  );
  const failed = [...output.matchAll(/^\s*×\s*\d+: (.*)$/gm)].map(([, title]) => title!.trim());
  const counts = /\d+ tests, \d+ passed, \d+ skipped, \d+ failed/.exec(output)?.[0] ?? output.slice(-300);
  return { failed: [...new Set(failed)], counts, output };
}
