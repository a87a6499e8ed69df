/** Over a real WebSocket: streams of one connection do not fill its buffer, however many wait for the same moment. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { until } from "@caisson/testing";
import { WebSocket, WebSocketServer } from "ws";
import { Turns } from "../kernel/turns.ts";
import { Sender } from "./sender.ts";

test("streams that ask together get as many turns as there is room for frames", { timeout: 60_000 }, async (t) => {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  t.after(() => server.close());
  await once(server, "listening");
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.after(() => client.terminate());
  const [[socket]] = (await Promise.all([once(server, "connection"), once(client, "open")])) as [[WebSocket], unknown];
  const sender = new Sender(socket, new Turns().of("org"));
  const { signal } = new AbortController();
  let granted = 0;
  for (let stream = 0; stream < 20; stream++) void sender.turn(signal).then(() => granted++);
  await turn();
  // 256 KiB, and 88 KiB for each frame.
  assert.equal(granted, 3);
  sender.pass();
  await turn();
  assert.equal(granted, 4);
  // It makes room when the socket has taken it.
  sender.sendBulk(() => "frame");
  await until(5_000, "one more", () => granted === 5, 1);
});
