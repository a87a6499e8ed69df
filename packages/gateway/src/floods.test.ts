/** Floods by HTTP/2 against the gateway, and against one without any defence, where each must be seen to succeed. */
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, test } from "node:test";
import { floods } from "./testing/floods.ts";
import { naiveGateway, type NaiveGateway } from "./testing/naive-gateway.ts";
import { listenOn, openPlace, type Place } from "./testing/programs.ts";

const host = "abc.localhost";
let program: Server;
let place: Place;
let naive: NaiveGateway;
let requests = 0;

before(async () => {
  program = createServer((request, response) => {
    if (request.url === "/flood") requests++;
    else response.end("ok");
  });
  const port = await listenOn(program);
  place = await openPlace({ programs: { abc: port } });
  naive = await naiveGateway(port, host);
});
after(async () => {
  naive?.close();
  await place?.close();
  program.closeAllConnections();
  program.close();
});

for (const { name, run } of floods)
  test(name, { timeout: 120_000 }, async (t) => {
    const target = { host, requests: () => requests };
    const success = await run({ ...target, port: naive.port });
    assert.ok(success !== undefined, "the attack was not seen to succeed where nothing defends");
    t.diagnostic(`without defence: ${success}`);
    assert.equal(await run({ ...target, port: place.port }), undefined);
  });
