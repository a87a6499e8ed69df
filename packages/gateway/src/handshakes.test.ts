/** TLS handshakes cost the gateway a signature each. One address gets so many in a second; others are served meanwhile. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { connect as connectTcp } from "node:net";
import { after, before, test } from "node:test";
import { connect } from "node:tls";
import { until } from "@caisson/testing";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

const host = "abc.localhost";
let program: Server;
let port: number;

before(async () => {
  program = createServer((_, response) => response.end("ok"));
  port = await listenOn(program);
});
after(() => {
  program.closeAllConnections();
  program.close();
});

/** Whether a handshake from that address ends well. */
function shakesHands(place: Place, localAddress: string): Promise<boolean> {
  return new Promise((resolve) => {
    const tcp = connectTcp({ host: "127.0.0.1", port: place.port, localAddress });
    const socket = connect({ socket: tcp, servername: host, rejectUnauthorized: false });
    socket.once("secureConnect", () => (resolve(true), socket.destroy()));
    socket.once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
  });
}

async function countOf(place: Place, localAddress: string, tries: number): Promise<number> {
  const all = await Promise.all(Array.from({ length: tries }, () => shakesHands(place, localAddress)));
  return all.filter(Boolean).length;
}

test("too many handshakes of one address are cut, others are served, and the address is served again", async (t) => {
  const place = await openPlace({ programs: { abc: port }, config: { handshakesPerAddress: 1 } });
  t.after(() => place.close());
  const began = performance.now();
  const done = await countOf(place, "127.0.0.2", 100);
  // Ten at once, and one for each second that this took.
  const most = 10 + Math.ceil((performance.now() - began) / 1000);
  assert.ok(done >= 10 && done <= most, `${done} of 100, at most ${most} expected`);
  assert.equal(await shakesHands(place, "127.0.0.3"), true);
  await until(30_000, "a handshake after a while", async () => (await shakesHands(place, "127.0.0.2")) || undefined);
});

test("the same handshakes are all served where the limit allows them, and for a trusted proxy", async (t) => {
  const wide = await openPlace({ programs: { abc: port }, config: { handshakesPerAddress: 100 } });
  t.after(() => wide.close());
  assert.equal(await countOf(wide, "127.0.0.2", 100), 100);
  const behind = await openPlace({
    programs: { abc: port },
    config: { handshakesPerAddress: 1 },
    trustedProxies: ["127.0.0.2"],
  });
  t.after(() => behind.close());
  assert.equal(await countOf(behind, "127.0.0.2", 100), 100);
});
