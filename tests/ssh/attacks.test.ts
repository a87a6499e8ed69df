/** Attacks on the SSH gateway, before and after a login. Each test has what an honest client does beside it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import ssh2, { type Client, type ClientChannel } from "ssh2";
import { until } from "@caisson/testing";
import { localGateway, type LocalGateway } from "./local.ts";

const MiB = 2 ** 20;
const limits = { login: 2_000, rekeyBytes: 2 ** 30, rekeyTime: 3_600_000, rekeyAnswer: 2_000 };
let local: LocalGateway;
before(async () => {
  local = await localGateway({ limits });
});
after(() => local.close());

let address = 0;
/** Every test comes from an address of its own, so that none uses up another's share. */
const nextAddress = () => `127.0.20.${++address}`;

function raw(from: string): Socket {
  const socket = connect({ host: "127.0.0.1", port: local.address.port, localAddress: from });
  socket.on("error", () => undefined);
  return socket;
}

async function loggedIn(from = nextAddress()): Promise<{ client: Client; socket: Socket; failure: () => string }> {
  const socket = raw(from);
  const client = new ssh2.Client();
  let failure = "";
  client.on("error", (error) => (failure ||= error.message));
  client.connect({ sock: socket, username: local.address.username });
  await once(client, "ready");
  return { client, socket, failure: () => failure };
}

const exec = (client: Client, command: string) =>
  new Promise<ClientChannel>((resolve, reject) =>
    client.exec(command, (error, channel) => (error === undefined ? resolve(channel) : reject(error))),
  );

async function works(): Promise<void> {
  const { client } = await loggedIn();
  const channel = await exec(client, "echo works");
  const [data] = (await once(channel, "data")) as [Buffer];
  assert.equal(String(data), "works\n");
  client.end();
}

test("who never speaks, speaks slowly, or stops before the login is cut; who has logged in is not", async () => {
  const idle = await loggedIn();
  let idleEnded = false;
  idle.client.once("close", () => (idleEnded = true));
  const from = nextAddress();
  const silent = raw(from);
  const slow = raw(from);
  const trickle = setInterval(() => slow.write("S"), 100);
  const halfway = raw(from);
  halfway.write("SSH-2.0-x\r\n");
  for (const socket of [silent, slow, halfway]) socket.resume();
  const started = performance.now();
  await Promise.all([silent, slow, halfway].map((socket) => once(socket, "close")));
  clearInterval(trickle);
  assert.ok(performance.now() - started > 1_000);
  assert.equal(idleEnded, false);
  idle.client.end();
});

test("one address cannot hold all places, and many addresses cannot keep others out", { timeout: 60_000 }, async () => {
  const other = await localGateway();
  const open = (from: string) => {
    const socket = connect({ host: "127.0.0.1", port: other.address.port, localAddress: from });
    return socket.on("error", () => undefined);
  };
  const letsIn = async () => {
    const client = new ssh2.Client();
    client.connect({ sock: open("127.0.22.1"), username: other.address.username });
    await once(client, "ready");
    client.end();
  };
  const one = nextAddress();
  const held = Array.from({ length: 70 }, () => open(one));
  let turnedAway = 0;
  for (const socket of held)
    socket.on("data", (data: Buffer) => {
      if (String(data).startsWith("Caisson: too many")) turnedAway++;
    });
  await until(5_000, "refusals", async () => (turnedAway >= 6 ? true : undefined));
  await letsIn();
  // More than all places: the oldest are cut, long before the time limit.
  let cut = 0;
  const many = Array.from({ length: 12 }, (_, at) => Array.from({ length: 50 }, () => open(`127.0.21.${at}`))).flat();
  for (const socket of many) socket.resume().once("close", () => cut++);
  await letsIn();
  await until(10_000, "cut connections", async () => (cut >= 80 ? true : undefined));
  assert.ok(cut < 200, `${cut} were cut`);
  for (const socket of [...held, ...many]) socket.destroy();
  await other.close();
});

test("channels are bounded by sandbox, over all its connections, and come back", { timeout: 60_000 }, async () => {
  const clients = await Promise.all([loggedIn(), loggedIn()]);
  const opened = await Promise.all(
    Array.from({ length: 100 }, (_, at) => exec(clients[at % 2]!.client, "sleep 60").catch(() => undefined)),
  );
  assert.equal(opened.filter((channel) => channel !== undefined).length, 64);
  for (const { client } of clients) client.end();
  await until(10_000, "places", async () => {
    await works();
    return true;
  });
});

test("who ignores the window of a channel is disconnected; who waits for it is not", { timeout: 60_000 }, async () => {
  const honest = await loggedIn();
  const patient = await exec(honest.client, "sleep 3");
  patient.on("error", () => undefined);
  const exited = once(patient, "exit");
  patient.write(Buffer.alloc(8 * MiB));
  const { client, socket, failure } = await loggedIn();
  const channel = await exec(client, "sleep 60");
  channel.on("error", () => undefined);
  (channel as unknown as { outgoing: { window: number } }).outgoing.window = 2 ** 31;
  // Not in pieces that fill the window exactly: then the library drops the rest by itself.
  for (let at = 0; at < 600; at++) channel.write(Buffer.alloc(30_001));
  await once(socket, "close");
  assert.match(failure(), /more than the window/);
  const [code] = (await exited) as [number];
  assert.equal(code, 0);
  assert.equal(honest.failure(), "");
  honest.client.end();
});

test("who does not read makes the server keep little, whatever window was promised", { timeout: 60_000 }, async () => {
  const { client, socket } = await loggedIn();
  // The client's own window grows without end, as a hostile one's would.
  const before = process.memoryUsage().arrayBuffers;
  const channel = await exec(client, "head -c 300000000 /dev/zero");
  (
    client as unknown as { _protocol: { channelWindowAdjust(id: number, amount: number): void } }
  )._protocol.channelWindowAdjust((channel as unknown as { outgoing: { id: number } }).outgoing.id, 2 ** 31);
  socket.pause();
  await sleep(3_000);
  const kept = process.memoryUsage().arrayBuffers - before;
  assert.ok(kept < 40 * MiB, `${Math.round(kept / MiB)} MiB were kept`);
  client.destroy();
  await works();
});

test("key exchanges without end end the connection", { timeout: 60_000 }, async () => {
  const { client, socket, failure } = await loggedIn();
  const closed = once(socket, "close");
  (client as unknown as { _protocol: { rekey(): void } })._protocol.rekey();
  client.on("handshake", () =>
    setImmediate(() => (client as unknown as { _protocol: { rekey(): void } })._protocol.rekey()),
  );
  await closed;
  assert.match(failure(), /exchanges keys too often/);
  await works();
});
