/**
 * h2spec, the conformance suite for servers of HTTP/2 and HPACK, against the gateway: without TLS, and with TLS through a bridge. h2spec has no way
 * to name a host that DNS does not know, so the name of the preview is `127`, below the domain `0.0.1`.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createServer, type Server } from "node:http";
import { createServer as createHttp2 } from "node:http2";
import { after, before, test } from "node:test";
import { goTool, namedBridge } from "@caisson/testing";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

let place: Place;
let secure: Place;
let program: Server;

before(async () => {
  program = createServer((request, response) => {
    request.resume();
    response.end("<h1>h2spec</h1>");
  });
  const programs = { 127: await listenOn(program) };
  const config = { domain: "0.0.1", requestsPerAddress: 1e6, handshakesPerAddress: 1e6 };
  place = await openPlace({ programs, config: { ...config, tls: false } });
  secure = await openPlace({ programs, config });
});
after(async () => {
  await place.close();
  await secure.close();
  program.closeAllConnections();
  program.close();
});

/** Without TLS, whoever sends something else than HTTP/2 gets the answer of HTTP/1.1, which shares the port. */
const known = new Set(["Sends invalid connection preface"]);

test("h2spec fails nothing that Node's own server passes", { timeout: 900_000 }, async (t) => {
  const tool = await goTool("github.com/summerwind/h2spec/cmd/h2spec", "v2.2.1+incompatible");
  if (tool === undefined) return t.skip("h2spec cannot be built: Go or its module proxy is missing");
  const bare = createHttp2((request, response) => {
    request.resume();
    response.end("<h1>h2spec</h1>");
  });
  const bridge = await namedBridge(secure.port, "127.0.0.1", "h2");
  t.after(() => bridge.close());
  const nodes = await failuresOf(tool, await listenOn(bare));
  bare.close();
  for (const [way, port, excused] of [
    ["without TLS", place.port, known],
    ["with TLS", bridge.port, new Set<string>()],
  ] as const) {
    const ours = await failuresOf(tool, port);
    t.diagnostic(`gateway ${way}: ${ours.counts}; Node: ${nodes.counts}`);
    const more = ours.failed.filter((title) => !nodes.failed.includes(title) && !excused.has(title));
    assert.deepEqual(more, [], ours.output.slice(-6000));
    assert.match(ours.counts, /^14\d tests, 13\d passed/);
  }
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
