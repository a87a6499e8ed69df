/** A guest that breaks its upload off: the host must not take what came for the whole, however the guest leaves. */
import assert from "node:assert/strict";
import type { ClientHttp2Session } from "node:http2";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
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
let whole: string[] = [];

before(async () => {
  upstreams.push(
    await startHttps(["one.test"], (request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += chunk)).on("error", () => {});
      request.on("end", () => whole.push(body) && response.end("ok"));
    }),
    await startHttp2(["two.test"], (server) =>
      server.on("stream", (stream) => {
        let body = "";
        stream.on("data", (chunk) => (body += chunk)).on("error", () => {});
        stream.on("end", () =>
          setImmediate(() => {
            if (stream.aborted) return;
            whole.push(body);
            stream.respond({ ":status": 200 });
            stream.end("ok");
          }),
        );
      }),
    ),
  );
  harness = await startHarness({
    policy: { allow: ["one.test", "two.test", "other.test"] },
    resolve: { "one.test": `127.0.0.1:${upstreams[0]!.port}`, "two.test": `127.0.0.1:${upstreams[1]!.port}` },
    // It may go to neither, so that bodies are searched on their way.
    secrets: [makeSecret(["other.test"])],
  });
});
after(async () => {
  await harness.close();
  for (const upstream of upstreams) await upstream.close();
});

const ways: Record<string, (session: ClientHttp2Session) => void> = {
  "ends its session": (session) => session.destroy(),
  "cuts its connection": (session) => session.socket.destroy(),
};
for (const host of ["one.test", "two.test"]) {
  for (const [how, leave] of Object.entries(ways)) {
    for (const length of [undefined, 1000, 100_000]) {
      test(`${host}: a guest that ${how}, ${length ?? "no"} bytes announced`, async () => {
        whole = [];
        const session = await openHttp2(harness.guest, host);
        const announced = length === undefined ? {} : { "content-length": length };
        const stream = session.request({ ":method": "POST", ":path": "/", ...announced });
        stream.on("error", () => {});
        stream.resume().write("begun");
        await sleep(30);
        leave(session);
        await sleep(60);
        session.destroy();
        assert.deepEqual(whole, []);
      });
    }
  }
  test(`${host}: a guest that stays`, async () => {
    const session = await openHttp2(harness.guest, host);
    const stream = session.request({ ":method": "POST", ":path": "/" });
    stream.write("begun, ");
    await sleep(20);
    stream.end("done");
    assert.equal((await stream.setEncoding("utf8").toArray()).join(""), "ok");
    assert.deepEqual(whole, ["begun, done"]);
    session.destroy();
  });
}
