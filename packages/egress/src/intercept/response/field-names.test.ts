/** Names of fields lose their case on the way, so that a value in a name is looked for without it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingHttpHeaders } from "node:http2";
import { createServer as createTls } from "node:tls";
import { after, before, test } from "node:test";
import {
  makeSecret,
  startHarness,
  startHttp2,
  startTcp,
  upstreamAuthority,
  type Harness,
  type Upstream,
} from "../../testing/harness.ts";
import { ask, openHttp2 } from "../../testing/talk.ts";

// Capitals only, capitals and small letters, small letters only.
const secrets = ["AKIA4EXAMPLE7QWERTZU", "sk-Live-0a1B2c3D4e5F", "ghp_0a1b2c3d4e5f"].map((value, index) =>
  makeSecret(["one.test", "two.test"], { value, name: `KEY_${index}` }),
);
const names = secrets.flatMap(({ value }) => [value, `X-${value}-Rest`, Buffer.from(value).toString("hex")]);
const upstreams: Upstream[] = [];
let harness: Harness;

before(async () => {
  const lines = ["x-kept: 1", ...names.map((name) => `${name}: 1`)].map((line) => `${line}\r\n`).join("");
  const one = createTls({ ...(await upstreamAuthority.issue(["one.test"])), ALPNProtocols: ["http/1.1"] }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", () =>
      socket.end(`HTTP/1.1 200 OK\r\n${lines}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${lines}\r\n`),
    );
  });
  const fields = Object.fromEntries(["x-kept", ...names].map((name) => [name.toLowerCase(), "1"]));
  upstreams.push(
    await startTcp(one),
    await startHttp2(["two.test"], (server) =>
      server.on("stream", (stream) => {
        stream.on("error", () => {});
        stream.respond({ ":status": 200, ...fields }, { waitForTrailers: true });
        stream.on("wantTrailers", () => stream.sendTrailers(fields));
        stream.end("ok");
      }),
    ),
  );
  harness = await startHarness({
    policy: { allow: ["one.test", "two.test"] },
    secrets,
    resolve: { "one.test": `127.0.0.1:${upstreams[0]!.port}`, "two.test": `127.0.0.1:${upstreams[1]!.port}` },
  });
});
after(async () => {
  await harness.close();
  for (const upstream of upstreams) await upstream.close();
});

function assertNamesNoValue(fields: object): void {
  const own = Object.keys(fields).filter((name) => !/^(:status|transfer-encoding|connection|date)$/.test(name));
  assert.deepEqual(own, ["x-kept"]);
}

test("over HTTP/1.1, in head and trailers", async () => {
  const { headers, trailers, text } = await ask(harness.guest, "one.test");
  assertNamesNoValue(headers);
  assertNamesNoValue(trailers);
  assert.equal(text, "ok");
});

for (const host of ["one.test", "two.test"]) {
  test(`over HTTP/2, in head and trailers of ${host}`, async () => {
    const session = await openHttp2(harness.guest, host);
    const stream = session.request({ ":path": "/" });
    let trailers: IncomingHttpHeaders = {};
    stream.on("trailers", (received) => (trailers = received));
    const [headers] = (await once(stream, "response")) as [IncomingHttpHeaders];
    assert.equal((await stream.setEncoding("utf8").toArray()).join(""), "ok");
    assertNamesNoValue(headers);
    assertNamesNoValue(trailers);
    session.destroy();
  });
}
