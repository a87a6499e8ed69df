/**
 * Root of a sandbox takes the port by which its agent asks for connections, and floods it with HTTP/2 control frames: the sandbox ends
 * with a reason, and the neighbours' connections, which the same worker carries, go on.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { WireClient, within } from "@caisson/testing";
import { createTestAuthority } from "./world/authority.ts";
import { startEgressPlatform, type EgressPlatform } from "./world/platform.ts";

const host = "api.flood.example";
const frames = {
  PING: `00000806000000000000${"00".repeat(7)}`,
  SETTINGS: "000000040000000000",
  // Credit for the whole connection: needs no answer, so nothing slows its sender down.
  WINDOW_UPDATE: "00000408000000000000000001",
};

let platform: EgressPlatform;
let neighbour: Sandbox;
let answered = 0;
const upstream = createServer((_, response) => void response.end(`answer ${++answered}`));

before(async () => {
  const authority = await createTestAuthority();
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  upstream.setSecureContext(await authority.issue([host]));
  const { port } = upstream.address() as AddressInfo;
  platform = await startEgressPlatform({ authority, egress: { resolve: { [host]: `127.0.0.1:${port}` } } });
  neighbour = await Sandbox.create({ allowNet: [host] });
});
after(async () => {
  await neighbour?.kill();
  await platform?.stop(15_000);
  upstream.close();
});

/** One request of the neighbour, with a connection of its own. */
async function served(): Promise<void> {
  const before = answered;
  const text = await within(60_000, "the neighbour's request", neighbour.sh`curl -sS https://${host}/`.text());
  assert.equal(text, `answer ${before + 1}`);
}

for (const [name, frame] of Object.entries(frames)) {
  test(`${name} without end on the egress port`, { timeout: 180_000 }, async () => {
    await served();
    const attacker = await WireClient.open({ env: platform.env });
    const content = await readFile(join(import.meta.dirname, "../engine/guest/frames.py"), "utf8");
    await attacker.ok("writeTextFile", { path: "/tmp/frames.py", content });
    await attacker.ok("spawn", { command: "sudo", args: ["python3", "/tmp/frames.py", "caisson.egress", frame] });
    const asks = new AbortController();
    const asking = (async () => {
      while (!asks.signal.aborted) await served();
    })();
    const { reason } = await within(120_000, "the end of the sandbox that floods", attacker.closed).finally(() =>
      asks.abort(),
    );
    await asking;
    // The kernel of a guest whose agent cannot bear it either comes to its end before.
    assert.match(reason, /machine (?:evicted: The guest (?:floods|breaks).*port|crashed: the guest ended)/);
    await served();
  });
}
