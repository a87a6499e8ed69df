/** Requests and answers that are unusual and right. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http2";
import { after, before, test } from "node:test";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { ask, openHttp2 } from "../../testing/talk.ts";

let upstream: Upstream;
let harness: Harness;
const odd = ["constructor", "toString", "__proto__"];

before(async () => {
  upstream = await startHttps(["one.test"], (request, response) => {
    response.writeHead(
      200,
      odd.flatMap((name) => [name, "1"]),
    );
    response.addTrailers(odd.map((name): [string, string] => [name, "2"]));
    response.end(`${request.method} ${request.url} at ${request.headers.host}`);
  });
  harness = await startHarness({
    policy: { allow: ["one.test"] },
    resolve: { "one.test": `127.0.0.1:${upstream.port}` },
    secrets: [makeSecret(["one.test"])],
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

test("fields that are called like what every object has go on as they are", async () => {
  const session = await openHttp2(harness.guest, "one.test");
  const stream = session.request({ ":path": "/" });
  let trailers: IncomingHttpHeaders = {};
  stream.on("trailers", (received) => (trailers = received));
  const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
  assert.equal((await stream.setEncoding("utf8").toArray()).join(""), "GET / at one.test");
  for (const name of odd) {
    assert.equal(headers[name.toLowerCase()], "1", name);
    assert.equal(trailers[name.toLowerCase()], "2", name);
  }
  session.destroy();
});

test("a question about the host as a whole reaches it, over both protocols", async () => {
  const whole = /^OPTIONS (\*|https:\/\/one\.test\/?) at one\.test$/;
  const reply = await ask(harness.guest, "one.test", { method: "OPTIONS", path: "*" });
  assert.equal(reply.status, 200);
  assert.match(reply.text, whole);
  const session = await openHttp2(harness.guest, "one.test");
  const stream = session.request({ ":method": "OPTIONS", ":path": "*" }, { endStream: true });
  assert.match((await stream.setEncoding("utf8").toArray()).join(""), whole);
  session.destroy();
});
