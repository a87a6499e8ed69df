/** Slow loris against the gateway, and against one without any defence, where each way must be seen to succeed. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, describe, test } from "node:test";
import { naiveGateway } from "./testing/naive-gateway.ts";
import { listenOn, openPlace } from "./testing/programs.ts";
import { holdPlaces, slowAttacks } from "./testing/slow-visitors.ts";

const host = "abc.localhost";
const places = 10;
/** A stream of HTTP/2 ends after 20 s, and its connection, which has none left, after 65 s more; the rest is for a busy host. */
const seconds = 150;
let program: Server;
let inside: number;

before(async () => {
  program = createServer((request, response) => {
    request.on("error", () => undefined);
    request.resume().once("end", () => response.end("ok"));
  });
  inside = await listenOn(program);
});
after(() => {
  program.closeAllConnections();
  program.close();
});

describe("whoever sends drop by drop", { concurrency: true, timeout: 400_000 }, () => {
  for (const attack of slowAttacks) {
    test(`${attack.name}: takes all places where nothing defends them`, async (t) => {
      const naive = await naiveGateway(inside, host, places);
      t.after(() => naive.close());
      assert.notEqual(await holdPlaces({ port: naive.port, host }, attack, places, seconds), undefined);
    });
    test(`${attack.name}: loses its places at the gateway`, async (t) => {
      const place = await openPlace({ programs: { abc: inside }, config: { connectionsPerAddress: places } });
      t.after(() => place.close());
      const began = performance.now();
      assert.equal(await holdPlaces({ port: place.port, host }, attack, places, seconds), undefined);
      t.diagnostic(`after ${((performance.now() - began) / 1000).toFixed(0)} s`);
    });
  }
});
