/** Guests that give up a request over HTTP/2: the host is told, and the place among those under way is free again. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { after, before, test } from "node:test";
import {
  makeSecret,
  startHarness,
  startHttp2,
  startHttps,
  type Harness,
  type Upstream,
} from "../../testing/harness.ts";
import { openHttp2 } from "../../testing/talk.ts";

const upstreams: Upstream[] = [];
let harness: Harness;
let came: () => void = () => {};
let left: () => void = () => {};

before(async () => {
  upstreams.push(
    await startHttps(["one.test"], (request, response) => {
      request.resume();
      response.on("close", () => left());
      if (request.url === "/begun") response.writeHead(200).write("begun");
      came();
    }),
    await startHttp2(["two.test"], (server) =>
      server.on("stream", (stream, headers) => {
        stream.on("error", () => {}).on("close", () => left());
        if (headers[":path"] === "/begun") {
          stream.respond({ ":status": 200 });
          stream.write("begun");
        }
        came();
      }),
    ),
  );
  harness = await startHarness({
    policy: { allow: ["one.test", "two.test"] },
    resolve: { "one.test": `127.0.0.1:${upstreams[0]!.port}`, "two.test": `127.0.0.1:${upstreams[1]!.port}` },
    secrets: [makeSecret(["one.test"])],
  });
});
after(async () => {
  await harness.close();
  for (const upstream of upstreams) await upstream.close();
});

const ways: Record<string, (stream: ClientHttp2Stream, session: ClientHttp2Session) => void> = {
  "cancels it": (stream) => stream.close(8),
  "resets it without an error": (stream) => stream.close(0),
  "ends its session": (_, session) => session.destroy(),
  "cuts its connection": (_, session) => session.socket.destroy(),
};
for (const host of ["one.test", "two.test"]) {
  for (const path of ["/silent", "/begun"]) {
    for (const method of path === "/silent" ? ["GET", "HEAD", "POST"] : ["GET", "POST"]) {
      for (const [how, leave] of Object.entries(ways)) {
        test(`${host}${path}: a guest that waits for the answer to a ${method} and ${how}`, async () => {
          const arrived = new Promise<void>((resolve) => (came = resolve));
          const told = new Promise<void>((resolve) => (left = resolve));
          const session = await openHttp2(harness.guest, host);
          const stream = session.request({ ":method": method, ":path": path }, { endStream: method !== "POST" });
          stream.on("error", () => {});
          if (method === "POST") stream.write("begun");
          await arrived;
          if (path === "/begun") await once(stream, "response");
          harness.events.length = 0;
          leave(stream, session);
          await told;
          const { rule } = await harness.event(({ kind }) => kind === "request");
          assert.equal(rule, "guest-left");
          session.destroy();
        });
      }
    }
  }
}
