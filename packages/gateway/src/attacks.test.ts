/**
 * Attacks by HTTP/2. Floods are carried out against a server that bears everything, too, which shows that a connection that is not cut is
 * seen. Requests that would become others in HTTP/1.1 are variations of one that arrives.
 */
import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, before, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer as createTls, type Server as TlsServer } from "node:tls";
import { createGatewayAuthority } from "@caisson/egress";
import { until } from "@caisson/testing";
import { attack, block, flag, frame, frameType, type Attacker } from "./testing/frames.ts";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

const host = "abc.localhost";
let place: Place;
let program: Server;
let programPort: number;
let enduring: TlsServer;
let enduringPort: number;
/** Every byte that the program got. */
let got = "";

before(async () => {
  program = createServer((socket: Socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (piece) => {
      got += piece.toString("latin1");
      if (got.includes("/held")) return;
      socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
  });
  programPort = await listenOn(program);
  place = await openPlace({ programs: { abc: programPort, other: programPort } });
  const leaf = await (await createGatewayAuthority(Buffer.alloc(32, 3))).issue([host]);
  enduring = createTls({ cert: leaf.cert, key: leaf.key, ALPNProtocols: ["h2"] }, (socket) =>
    socket.on("error", () => undefined).resume(),
  );
  enduringPort = await listenOn(enduring);
});
beforeEach(() => (got = ""));
after(async () => {
  await place.close();
  program.close();
  enduring.close();
});

const request = (path = "/", ...more: [string, string][]): [string, string][] => [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", path],
  [":authority", host],
  ...more,
];
const ask = (stream: number, fields: [string, string][], flags = flag.end | flag.endHeaders): Buffer =>
  frame(frameType.headers, flags, stream, block(fields));

const floods: readonly [string, (socket: Attacker["socket"]) => void][] = [
  [
    "rapid reset",
    (socket) => {
      for (let index = 0; index < 2_000; index++) {
        const stream = 2 * index + 1;
        socket.write(
          Buffer.concat([ask(stream, request("/held")), frame(frameType.reset, 0, stream, Buffer.from([0, 0, 0, 8]))]),
        );
      }
    },
  ],
  [
    "PING",
    (socket) =>
      socket.write(Buffer.concat(Array.from({ length: 2_000 }, () => frame(frameType.ping, 0, 0, Buffer.alloc(8))))),
  ],
  [
    "SETTINGS",
    (socket) => socket.write(Buffer.concat(Array.from({ length: 2_000 }, () => frame(frameType.settings, 0, 0)))),
  ],
  [
    "SETTINGS with more entries than allowed",
    (socket) =>
      socket.write(
        frame(
          frameType.settings,
          0,
          0,
          Buffer.concat(Array.from({ length: 40 }, () => Buffer.from([0, 3, 0, 0, 0, 9]))),
        ),
      ),
  ],
  [
    "CONTINUATION without end",
    (socket) => {
      socket.write(ask(1, request(), flag.end));
      for (let index = 0; index < 200; index++)
        socket.write(frame(frameType.continuation, 0, 1, block([["x", "y".repeat(100)]])));
    },
  ],
  [
    "empty DATA",
    (socket) => {
      socket.write(ask(1, [[":method", "POST"], ...request("/held").slice(1)], flag.endHeaders));
      for (let index = 0; index < 2_000; index++) socket.write(frame(frameType.data, 0, 1));
    },
  ],
  [
    "more streams than allowed, again and again",
    (socket) => {
      for (let index = 0; index < 1_000; index++) socket.write(ask(2 * index + 1, request("/held")));
    },
  ],
];

describe("floods end the connection, and others are served", { timeout: 60_000 }, () => {
  for (const [name, send] of floods)
    test(name, async () => {
      const naive = await attack(enduringPort, host);
      send(naive.socket);
      assert.equal(await naive.cutWithin(300), false, "the attack ended itself");
      const real = await attack(place.port, host);
      send(real.socket);
      assert.equal(await real.cutWithin(10_000), true);
      await arrives();
    });
});

/** A well-formed request by hand, which shows that the carrier works. */
async function arrives(): Promise<void> {
  got = "";
  const { socket } = await attack(place.port, host);
  socket.write(ask(1, request("/carrier")));
  await until(5_000, "the request at the program", () => got.includes("GET /carrier HTTP/1.1") || undefined);
  socket.destroy();
}

describe("nothing of a request by HTTP/2 becomes another request in HTTP/1.1", { timeout: 60_000 }, () => {
  const smuggled = "\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";
  const post = (...more: [string, string][]): [string, string][] => [
    [":method", "POST"],
    ...request("/").slice(1),
    ...more,
  ];
  const cases: readonly [string, () => Buffer][] = [
    ["a line end in a value", () => ask(1, request("/", ["x", `y${smuggled}`]))],
    ["a line end in a name", () => ask(1, request("/", [`x: y\r\n\r\nGET /smuggled HTTP/1.1\r\nz`, "1"]))],
    ["a line end in the path", () => ask(1, request(` HTTP/1.1${smuggled}`.trimStart()))],
    ["a line end in the method", () => ask(1, [[":method", `GET / HTTP/1.1${smuggled}GET`], ...request().slice(1)])],
    ["a line end in the authority", () => ask(1, [...request().slice(0, 3), [":authority", `${host}${smuggled}`]])],
    [
      "chunked",
      () =>
        Buffer.concat([
          ask(1, post(["transfer-encoding", "chunked"]), flag.endHeaders),
          frame(0, flag.end, 1, Buffer.from(`0${smuggled}`)),
        ]),
    ],
    [
      "a length that is too small",
      () =>
        Buffer.concat([
          ask(1, post(["content-length", "1"]), flag.endHeaders),
          frame(0, flag.end, 1, Buffer.from(`x${smuggled}`)),
        ]),
    ],
    [
      "two lengths",
      () =>
        Buffer.concat([
          ask(1, post(["content-length", "0"], ["content-length", "60"]), flag.endHeaders),
          frame(0, flag.end, 1, Buffer.from(smuggled)),
        ]),
    ],
    ["connection fields", () => ask(1, request("/smuggled", ["connection", "x"]))],
    ["an upgrade", () => ask(1, request("/smuggled", ["upgrade", "websocket"]))],
    ["another host beside the authority", () => ask(1, request("/smuggled", ["host", "other.localhost"]))],
    ["another authority", () => ask(1, [...request("/smuggled").slice(0, 3), [":authority", "other.localhost"]])],
    ["no authority", () => ask(1, request("/smuggled").slice(0, 3))],
    ["two authorities", () => ask(1, [...request("/smuggled"), [":authority", "other.localhost"]])],
    ["an absolute path", () => ask(1, request(`https://other.localhost/smuggled`))],
    [
      "CONNECT",
      () =>
        ask(1, [
          [":method", "CONNECT"],
          [":authority", `${host}:443`],
        ]),
    ],
    [
      "extended CONNECT",
      () => ask(1, [[":method", "CONNECT"], [":protocol", "websocket"], ...request("/smuggled").slice(1)]),
    ],
    ["capitals in a name", () => ask(1, request("/smuggled", ["X-Y", "1"]))],
    ["a pseudo field after others", () => ask(1, [...request("/smuggled").slice(1), ["x", "y"], [":method", "GET"]])],
  ];
  for (const [name, bytes] of cases)
    test(name, async () => {
      const { socket } = await attack(place.port, host);
      socket.write(bytes());
      await sleep(150);
      socket.destroy();
      // A body that belongs to a request is data, however it looks: the program is told its length.
      assert.doesNotMatch(got, /(^|\n)GET \/smuggled|\/smuggled HTTP\/1\.1(?![^]*content-length)/i);
      await arrives();
    });
});

test("requests that are reset at once, with any code, end and harm nobody", { timeout: 60_000 }, async () => {
  place.visits.length = 0;
  const held: Socket[] = [];
  const codes = [0, 1, 8];
  for (const code of codes)
    for (const [path, authority] of [
      ["/held", host],
      ["/", "nobody.localhost"],
      ["/", "elsewhere.example"],
    ] as const) {
      const { socket } = await attack(place.port, authority);
      const fields: [string, string][] = [
        [":method", "POST"],
        [":scheme", "https"],
        [":path", `${path}?${code}`],
        [":authority", authority],
      ];
      const reset = frame(frameType.reset, 0, 1, Buffer.from([0, 0, 0, code]));
      socket.write(Buffer.concat([ask(1, fields, flag.endHeaders), reset]));
      socket.write(Buffer.concat([ask(3, fields, flag.endHeaders), frame(frameType.data, 0, 3, Buffer.from("x"))]));
      if (path === "/held") await until(30_000, "the request", () => got.includes(`/held?${code}`) || undefined);
      else await sleep(50);
      socket.write(frame(frameType.reset, 0, 3, Buffer.from([0, 0, 0, code])));
      held.push(socket);
    }
  const aborted = () => place.visits.filter(({ path }) => path === "/held").length;
  await until(30_000, "the end of the visits", () => aborted() >= codes.length || undefined);
  held.forEach((socket) => socket.destroy());
  await arrives();
});

describe("bounds", { timeout: 60_000 }, () => {
  test("fields that are too many or too long are refused before anything is forwarded", async () => {
    for (const fields of [
      Array.from({ length: 300 }, (_, index): [string, string] => [`x${index}`, "y"]),
      // More than 64 KiB, in fewer fields than the limit.
      Array.from({ length: 250 }, (_, index): [string, string] => [`x${index}`.padEnd(126, "n"), "y".repeat(126)]),
    ]) {
      const { socket } = await attack(place.port, host);
      const all = block(request("/long", ...fields));
      const pieces = Array.from({ length: Math.ceil(all.length / 16_000) }, (_, index) =>
        all.subarray(index * 16_000, (index + 1) * 16_000),
      );
      socket.write(frame(frameType.headers, flag.end | (pieces.length === 1 ? flag.endHeaders : 0), 1, pieces[0]));
      pieces
        .slice(1)
        .forEach((piece, index) =>
          socket.write(frame(frameType.continuation, index === pieces.length - 2 ? flag.endHeaders : 0, 1, piece)),
        );
      await sleep(200);
      socket.destroy();
    }
    assert.doesNotMatch(got, /\/long/);
    await arrives();
  });

  test("one address has its share of a sandbox and its rate, and others are served", async () => {
    const own = await openPlace({
      programs: { abc: programPort },
      trustedProxies: ["127.0.0.1"],
      config: { tls: false, connectionsPerSandbox: 4, requestsPerAddress: 2 },
    });
    const statusOf = async (from: string, path: string): Promise<number> => {
      const socket = connect(own.port, "127.0.0.1");
      socket.on("error", () => undefined);
      socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nx-forwarded-for: ${from}\r\n\r\n`);
      held.push(socket);
      const answer = new Promise<number>((resolve) =>
        socket.once("data", (piece) => resolve(Number(String(piece).slice(9, 12)))),
      );
      return await Promise.race([answer, sleep(path === "/held" ? 150 : 5_000).then(() => 0)]);
    };
    const held: Socket[] = [];
    for (let index = 0; index < 3; index++) assert.equal(await statusOf("192.0.2.1", "/held"), 0);
    assert.equal(await statusOf("192.0.2.1", "/held"), 503);
    got = "";
    assert.equal(await statusOf("192.0.2.2", "/"), 200);
    const many = await Promise.all(Array.from({ length: 30 }, () => statusOf("192.0.2.3", "/")));
    assert.ok(many.includes(429), String(many));
    assert.equal(await statusOf("192.0.2.4", "/"), 200);
    held.forEach((socket) => socket.destroy());
    await own.close();
  });
});
