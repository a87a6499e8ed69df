/** What is left of a port when its sandbox is detached: nothing, whatever the guest does. */
import assert from "node:assert/strict";
import { readdir, readlink } from "node:fs/promises";
import { connect, createServer, Socket } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { answerSync, Guest } from "../testing/guest.ts";
import { startHarness, startHttps, type Harness, type Upstream } from "../testing/harness.ts";
import { startInProcess } from "../testing/in-process.ts";
import { servePort } from "./port.ts";

let upstream: Upstream;
let harness: Harness;
before(async () => {
  upstream = await startHttps(["api.test"], (request, response) => {
    if (request.url === "/never") return;
    const block = Buffer.alloc(2 ** 20);
    const fill = (): void => {
      while (!response.destroyed && response.write(block));
    };
    response.on("drain", fill).on("error", () => {});
    fill();
  });
  harness = await startHarness({
    workers: 1,
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

test("all that a sandbox did has been told when its detach resolves", async () => {
  const { guard, guest, events, sandboxId } = harness;
  const asks = await guest.connectTls("api.test:443");
  asks.write("GET /never HTTP/1.1\r\nHost: api.test\r\n\r\n");
  const silent = await guest.connectTls("api.test:443");
  await sleep(300);
  events.length = 0;
  await guard.detach(sandboxId);
  assert.deepEqual(events.map(({ kind }) => kind).toSorted(), ["connection", "connection", "request"]);
  silent.destroy();
});

/** How many sockets the worker has. */
async function sockets(): Promise<number> {
  const directory = `/proc/${harness.guard.workerPids[0]}/fd`;
  const links = (await readdir(directory)).map((name) => readlink(join(directory, name)).catch(() => ""));
  return (await Promise.all(links)).filter((link) => link.startsWith("socket:")).length;
}

test("a guest that does not read cannot hold the connection of a detached sandbox", async (t) => {
  const [path, reached] = [join(harness.directory, "slow.sock"), join(harness.directory, "reached.sock")];
  const guest = await Guest.listen(reached);
  let port: Socket | undefined;
  const between = createServer((socket) => {
    port = socket.on("error", () => {});
    const inner = connect({ path: reached }).on("error", () => {});
    socket.pipe(inner).pipe(socket);
    socket.once("close", () => inner.destroy());
  });
  await new Promise<void>((resolve) => between.listen(path, resolve));
  t.after(async () => {
    await guest.close();
    port?.destroy();
    between.close();
  });
  const before = await sockets();
  const attachment = { sandboxId: "sbx_slow", socketPath: path, policy: { allow: ["api.test"] }, secrets: [] };
  guest.ca = (await harness.guard.attach(attachment)).caCertificatePem;
  const streams = await Promise.all(Array.from({ length: 20 }, () => guest.connectTls("api.test:443")));
  port!.unpipe().pause();
  for (const stream of streams) stream.write("GET / HTTP/1.1\r\nHost: api.test\r\n\r\n");
  await sleep(1_000);
  assert.ok((await sockets()) > before);
  await harness.guard.detach(attachment.sandboxId);
  for (let tries = 0; tries < 200 && (await sockets()) > before; tries++) await sleep(10);
  assert.equal(await sockets(), before);
});

test("a sandbox that is detached in the very moment in which the guest answers is not served", async (t) => {
  const proxy = await startInProcess([]);
  t.after(() => proxy.close());
  const path = join(proxy.directory, "egress.sock");
  const met = Promise.withResolvers<Socket>();
  const ended = Promise.withResolvers<void>();
  const guest = await Guest.listen(path, (socket) => {
    met.resolve(socket);
    socket.once("close", () => ended.resolve());
    void answerSync(socket).then(() => socket.resume());
  });
  t.after(() => guest.close());
  const port = servePort(proxy.sandbox, path, { onTrouble: () => {}, onFlood: () => {} });
  const theirs = await met.promise;
  let closed: Promise<void> | undefined;
  const pause: (this: Socket) => Socket = Reflect.get(Socket.prototype, "pause");
  t.after(() => (Socket.prototype.pause = pause));
  // The last that `connectPort` does with its socket.
  Socket.prototype.pause = function (this: Socket) {
    if (this !== theirs) closed ??= port.close();
    return pause.call(this);
  };
  await Promise.race([ended.promise, sleep(5_000)]);
  assert.ok(closed !== undefined && theirs.destroyed, "the port is still served");
  await closed;
});
