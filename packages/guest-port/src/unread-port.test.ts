/** Lines that are written to a port before anybody reads them. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connectPort } from "./guest-port.ts";

const day = 24 * 3600 * 1000;
const lineBytes = "CAISSON-SYNC ".length + 32 + 1;

test("lines to a guest that does not read do not pile up, and it gets one once it reads", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  const directory = await mkdtemp(join(tmpdir(), "caisson-egress-"));
  const server = createServer({ pauseOnConnect: true });
  const path = join(directory, "egress.sock");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const ending = new AbortController();
  try {
    const agreed = connectPort(path, { signal: ending.signal });
    agreed.catch(() => {});
    const [guest] = (await once(server, "connection")) as [Socket];
    guest.on("error", () => {});
    // The other end has its connection now too, and a day goes by.
    await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(day);
    let heard = Buffer.alloc(0);
    guest.on("data", (chunk: Buffer) => (heard = Buffer.concat([heard, chunk])));
    guest.resume();
    await once(guest, "data");
    // All that waited has come when no more does.
    for (let before = -1; before !== heard.length; await sleep(50)) before = heard.length;
    // A socket's buffer in the kernel, not the 16 MB of a day.
    assert.ok(heard.length < 200_000, `${heard.length} bytes waited`);
    assert.equal(heard.length % lineBytes, 0);
    const before = heard.length;
    t.mock.timers.tick(1_000);
    for (let tries = 0; tries < 100 && heard.length === before; tries++) await sleep(10);
    assert.ok(heard.length > before, "the line is not sent again");
    guest.write(heard.subarray(-lineBytes));
    (await agreed).destroy();
  } finally {
    ending.abort(new Error("The test is over"));
    server.close();
    await rm(directory, { recursive: true, force: true });
  }
});
