/** Attacks by what a request says, against a gateway that believes its visitors, where each succeeds, and against ours. */
import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect } from "node:tls";
import { until } from "@caisson/testing";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";
import { trustingGateway, type TrustingGateway } from "./testing/trusting-gateway.ts";

let place: Place;
let trusting: TrustingGateway;
/** What each program got. */
const got = { abc: "", other: "" };
const programs = Object.fromEntries(
  (["abc", "other"] as const).map((name) => [
    name,
    createServer((socket: Socket) => {
      socket.on("error", () => undefined);
      socket.on("data", (piece) => {
        got[name] += piece.toString("latin1");
        socket.write(
          `HTTP/1.1 200 OK\r\nset-cookie: mine=1\r\nset-cookie: all=1; Domain=localhost\r\ncontent-length: ${name.length}\r\n\r\n${name}`,
        );
      });
    }),
  ]),
);

before(async () => {
  const ports: Record<string, number> = {};
  for (const [name, server] of Object.entries(programs)) ports[name] = await listenOn(server);
  place = await openPlace({ programs: ports });
  trusting = await trustingGateway(
    Object.fromEntries(Object.entries(ports).map(([name, port]) => [`${name}.localhost`, port])),
  );
});
after(async () => {
  await place.close();
  trusting.close();
  for (const server of Object.values(programs)) server.close();
});

/** @returns the answer, when it is there or the connection has ended */
async function send(port: number, text: string): Promise<string> {
  got.abc = got.other = "";
  const socket = connect({ port, host: "127.0.0.1", servername: "abc.localhost", rejectUnauthorized: false });
  let answer = "";
  let over = false;
  socket.on("error", () => undefined);
  socket.on("data", (piece: Buffer) => void (answer += piece.toString("latin1")));
  socket.on("close", () => (over = true));
  socket.write(text);
  await until(10_000, "the answer", async () => over || answer.includes("\r\n\r\n") || undefined);
  socket.destroy();
  return answer;
}

const smuggled = "GET /smuggled HTTP/1.1\r\nhost: abc.localhost\r\n\r\n";
const chunked = `0\r\n\r\n${smuggled}`;
const ask = (...lines: string[]) => `${["POST / HTTP/1.1", "host: abc.localhost", ...lines].join("\r\n")}\r\n\r\n`;
const readTwoWays: Readonly<Record<string, string>> = {
  "a length and chunks": ask(`content-length: ${chunked.length}`, "transfer-encoding: chunked") + chunked,
  "two lengths": ask("content-length: 0", `content-length: ${smuggled.length}`) + smuggled,
  "a length with a sign": ask(`content-length: +${smuggled.length}`) + smuggled,
  "a space before the colon": ask(`transfer-encoding : chunked`, `content-length: ${chunked.length}`) + chunked,
  "a coding that nobody has": ask("transfer-encoding: xchunked") + chunked,
  "a folded line": ask("x: y", ` transfer-encoding: chunked`, `content-length: ${chunked.length}`) + chunked,
  "lines without carriage return": `POST / HTTP/1.1\nhost: abc.localhost\ncontent-length: ${smuggled.length}\n\n${smuggled}`,
};

describe("attacks by what a request says", { timeout: 60_000 }, () => {
  test("Host of another program than TLS was for", async () => {
    const text = "GET / HTTP/1.1\r\nhost: other.localhost\r\n\r\n";
    assert.match(await send(trusting.port, text), /other$/, "the attack must succeed where nothing stops it");
    assert.match(await send(place.port, text), /^HTTP\/1\.1 421 /);
    assert.equal(got.other, "");
  });

  for (const [what, text] of Object.entries(readTwoWays))
    test(`a request that can be read in two ways: ${what}`, async () => {
      await send(trusting.port, text);
      assert.match(got.abc, /^GET \/smuggled /m, "the attack must succeed where nothing stops it");
      assert.match(await send(place.port, text), /^HTTP\/1\.1 400 /);
      assert.equal(got.abc, "");
    });

  test("cookies for all programs", async () => {
    const text = "GET / HTTP/1.1\r\nhost: abc.localhost\r\n\r\n";
    assert.match(await send(trusting.port, text), /set-cookie: all=1; Domain=localhost/);
    const answer = await send(place.port, text);
    assert.match(answer, /set-cookie: mine=1/i);
    assert.doesNotMatch(answer, /all=1/);
  });
});
