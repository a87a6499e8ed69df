/**
 * Autobahn's suite for WebSockets: every case against a server through a preview (by TLS), and against the same server directly. What the server
 * itself does worse than the suite wants is no fault of the gateway.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { autobahn, goWorse, namedBridge, type Autobahn } from "@caisson/testing";
import { WebSocketServer } from "ws";
import { openPlace, type Place } from "./testing/programs.ts";

const limit = 1_500_000;
const wstest: Autobahn | undefined = await autobahn(limit);
const skip = wstest === undefined && "needs Python 2.7 with pip, and PyPI for autobahntestsuite";

let place: Place;
let bridge: Awaited<ReturnType<typeof namedBridge>>;
let server: WebSocketServer;
let servers: { direct: string; preview: string };

before(async () => {
  const unbounded = { maxPayload: 64 * 2 ** 20, maxFragments: 1e6, maxBufferedChunks: 1e7 };
  server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: true, ...unbounded });
  server.on("connection", (socket) => {
    socket.on("error", () => undefined);
    socket.on("message", (data, binary) => socket.send(data, { binary }));
  });
  await once(server, "listening");
  const port = (server.address() as { port: number }).port;
  place = await openPlace({ programs: { abc: port }, config: { requestsPerAddress: 1e6 } });
  bridge = await namedBridge(place.port, "abc.localhost");
  servers = { direct: `ws://127.0.0.1:${port}`, preview: `ws://127.0.0.1:${bridge.port}` };
});
after(async () => {
  bridge?.close();
  await place?.close();
  server.clients.forEach((socket) => socket.terminate());
  server.close();
});

/** Compression in full is 216 cases of a thousand messages each, which takes half an hour: `CAISSON_TEST_AUTOBAHN="12.*,13.*"`. */
const asked = process.env["CAISSON_TEST_AUTOBAHN"];
const few = (group: string, last: number, ...numbers: number[]) =>
  Array.from({ length: last }, (_, index) => numbers.map((number) => `${group}.${index + 1}.${number}`)).flat();
const groups: readonly [string, readonly string[]][] =
  asked !== undefined
    ? [[asked, asked.split(",")]]
    : [
        [
          "framing, pings, reserved bits, opcodes, fragments, UTF-8, closing",
          ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"],
        ],
        ["large messages, and many", ["9.*"]],
        ["compression of messages", few("12", 5, 1, 4, 11)],
        ["parameters of compression", few("13", 7, 1, 4, 11)],
      ];
for (const [name, cases] of groups)
  test(name, { skip, timeout: 3 * limit }, async (t) => {
    const { worse, counts } = await goWorse(wstest!, servers, cases);
    t.diagnostic(counts);
    assert.deepEqual(worse, []);
  });
