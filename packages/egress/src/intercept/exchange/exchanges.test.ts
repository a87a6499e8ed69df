/** However many connections and streams a sandbox opens, it has a bounded number of requests under way. */
import assert from "node:assert/strict";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { after, before, test } from "node:test";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { openHttp2 } from "../../testing/talk.ts";
import { maxExchanges } from "../../worker/sandbox.ts";

let upstream: Upstream;
let harness: Harness;

before(async () => {
  // Never answers a request before it has the whole of it.
  upstream = await startHttps(["api.test"], (request, response) => {
    request.resume().on("end", () => response.end("done"));
  });
  harness = await startHarness({
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
    secrets: [makeSecret(["api.test"])],
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

/** Resolves with the answer's status, and 0 when there is none within a moment. */
function status(stream: ClientHttp2Stream, patience: number): Promise<number> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(0), patience);
    stream.once("response", (headers) => {
      clearTimeout(timer);
      resolve(Number(headers[":status"]));
    });
    stream.on("error", () => {});
    stream.resume();
  });
}

test("the request after the last place is refused, and goes through when others have ended", async () => {
  const sessions: ClientHttp2Session[] = [];
  const held: ClientHttp2Stream[] = [];
  while (held.length < maxExchanges) {
    const session = await openHttp2(harness.guest, "api.test");
    sessions.push(session);
    for (let index = 0; index < 64 && held.length < maxExchanges; index++) {
      const stream = session.request({ ":method": "POST", ":path": "/" });
      stream.on("error", () => {});
      stream.write("begun");
      held.push(stream);
    }
  }
  const last = sessions.at(-1)!;
  const ask = (): ClientHttp2Stream => last.request({ ":method": "GET", ":path": "/" });
  // The streams of other connections may arrive after this one.
  let refused = 0;
  for (let attempt = 0; attempt < 20 && refused !== 503; attempt++) refused = await status(ask(), 250);
  assert.equal(refused, 503);
  for (const stream of held.splice(16)) stream.close();
  let answered = 0;
  for (let attempt = 0; attempt < 20 && answered !== 200; attempt++) answered = await status(ask(), 1000);
  assert.equal(answered, 200);
  for (const session of sessions) session.destroy();
});
