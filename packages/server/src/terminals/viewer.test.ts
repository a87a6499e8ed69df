/** A viewer over a real WebSocket: a client can make the server neither hold much memory nor do much at a time. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { pino } from "pino";
import { WebSocket, WebSocketServer } from "ws";
import { Budget } from "../kernel/memory/budget.ts";
import { terminalLimits } from "./limits.ts";
import { closeCodes, type Controls, Viewer } from "./viewer.ts";

/** Milliseconds. */
const limit = 60_000;
const server = new WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: terminalLimits.message });
await once(server, "listening");
after(() => server.close());

const idle: Controls = {
  input: () => undefined,
  resize: async () => {},
  signal: async () => {},
  close: () => {},
  drained: () => {},
  left: () => {},
};

async function view(controls: Partial<Controls>, readOnly = false) {
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  client.on("error", () => undefined);
  const [[socket]] = (await Promise.all([once(server, "connection"), once(client, "open")])) as [[WebSocket], unknown];
  const hold = new Budget(1).try(1)!;
  const log = pino({ level: "silent" });
  return { client, socket, viewer: new Viewer({ socket, readOnly, hold, controls: { ...idle, ...controls }, log }) };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

test("a client that causes answers and does not read them is disconnected", { timeout: limit }, async () => {
  const { client, socket, viewer } = await view({}, true);
  client.pause();
  let most = 0;
  while (socket.readyState === socket.OPEN) {
    for (let count = 0; count < 500; count++) client.send(Buffer.from("x"));
    await sleep(0);
    most = Math.max(most, viewer.unsent);
  }
  // The last frame has a head as well.
  assert.ok(most < terminalLimits.behind + 1024, String(most));
  client.terminate();
  await once(socket, "close");
});

test("commands are carried out one at a time, in their order", { timeout: limit }, async () => {
  const rows: number[] = [];
  let running = 0;
  let most = 0;
  const resize = async (row: number) => {
    most = Math.max(most, ++running);
    await sleep(1);
    running--;
    rows.push(row);
  };
  const { client, socket } = await view({ resize });
  const sent = Array.from({ length: 50 }, (_, index) => index + 1);
  for (const row of sent) client.send(JSON.stringify({ type: "resize", rows: row, columns: 80 }));
  await until(() => rows.length === sent.length);
  assert.deepEqual(rows, sent);
  assert.equal(most, 1);
  await until(() => !socket.isPaused);
  client.terminate();
});

test("a client whose input the program does not take is not read from", { timeout: limit }, async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { client, socket } = await view({ input: () => promise });
  client.send(Buffer.from("x"));
  await until(() => socket.isPaused);
  resolve();
  await until(() => !socket.isPaused);
  client.terminate();
});

test("what a client sends after its viewer was closed is ignored", { timeout: limit }, async () => {
  const inputs: Buffer[] = [];
  const { client, socket, viewer } = await view({ input: (data) => void inputs.push(data) });
  client.pause();
  viewer.close(closeCodes.policy, "closed");
  client.send(Buffer.from("late"));
  client.resume();
  const [code] = (await once(client, "close")) as [number];
  assert.equal(code, closeCodes.policy);
  await until(() => socket.readyState === socket.CLOSED);
  assert.deepEqual(inputs, []);
});
