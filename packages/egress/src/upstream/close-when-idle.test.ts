/** Idle sessions end, sessions at work do not, and sessions that broke leave nothing behind. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, performServerHandshake, type ClientHttp2Session, type ServerHttp2Session } from "node:http2";
import { duplexPair } from "node:stream";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { queryObjects } from "node:v8";
import { closeWhenIdle } from "./close-when-idle.ts";

function openPair(patience: number): { server: ServerHttp2Session; client: ClientHttp2Session } {
  const [ours, theirs] = duplexPair();
  const server = performServerHandshake(ours);
  const carries = closeWhenIdle(server, patience);
  server.on("error", () => {}).on("stream", (stream) => carries(stream).respond());
  const client = connect("http://peer.test", { createConnection: () => theirs });
  client.on("error", () => {});
  return { server, client };
}

test("a session ends once it has carried nothing for a while, and not while a stream is open", async () => {
  const { server, client } = openPair(60);
  const stream = client.request({ ":method": "POST" }, { endStream: false });
  await once(stream, "response");
  await sleep(200);
  assert.equal(server.closed, false);
  stream.close();
  await once(server, "close");
  client.destroy();
});

test("sessions that broke are not kept until their time would have been over", async () => {
  const kind = openPair(10).server.constructor;
  await sleep(100);
  const before = queryObjects(kind, { format: "count" });
  for (let count = 0; count < 30; count++) {
    const [ours, theirs] = duplexPair();
    const session = performServerHandshake(ours);
    closeWhenIdle(session, 120_000);
    session.on("error", () => {});
    const closed = new Promise((resolve) => session.once("close", resolve));
    theirs.resume();
    if (count % 2 === 0) theirs.write("this is no preface of HTTP/2, whatever else it may be");
    else theirs.end();
    await closed;
  }
  await sleep(50);
  assert.ok(queryObjects(kind, { format: "count" }) - before < 5);
});
