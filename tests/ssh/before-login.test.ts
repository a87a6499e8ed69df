/**
 * Attacks by clients that have no user name. Each also runs where nothing defends, against a server that never disconnects or against user
 * names that can be guessed, and must succeed there. So the test is known to notice when one succeeds.
 */
import assert from "node:assert/strict";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SshGateway, SshRoute } from "@caisson/protocol";
import { bareGateway } from "./bare-gateway.ts";
import { attemptLogin } from "./local.ts";

/** Routes by user name. Nobody opens a session, so no agent is needed. */
const routes = new Map<string, SshRoute>();
let gateway: SshGateway;
before(async () => {
  gateway = await bareGateway(async (name) => routes.get(name));
});
after(() => gateway.close());

function routeTo(name: string): void {
  const agent = { closed: new Promise(() => undefined) };
  routes.set(name, { workloadId: name, agent, ended: new AbortController().signal } as unknown as SshRoute);
}

const long: Readonly<Record<string, Buffer>> = {
  "a packet of 4 GiB": Buffer.concat([Buffer.from("SSH-2.0-x\r\n"), Buffer.from("ffffffff", "hex"), Buffer.alloc(100)]),
  "a packet just above the limit": Buffer.concat([
    Buffer.from("SSH-2.0-x\r\n"),
    Buffer.from("000088b9", "hex"),
    Buffer.alloc(40_000),
  ]),
  "a packet that is only padding": Buffer.concat([
    Buffer.from("SSH-2.0-x\r\n"),
    Buffer.from("0000000c0a", "hex"),
    Buffer.alloc(11, 0x14),
  ]),
  "a line without an end": Buffer.alloc(20_000, "S"),
  "another protocol": Buffer.from("GET / HTTP/1.1\r\n\r\n"),
};

/** @returns whether the server ended the connection, within that time, milliseconds */
async function isCut(port: number, bytes: Buffer, time: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: "127.0.23.1" });
  socket.on("error", () => undefined).resume();
  // Not by `once` of node:events: it rejects when the connection is reset, which is an end as well.
  const closed = new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)));
  socket.write(bytes);
  const cut = await Promise.race([closed, sleep(time, false, { ref: false })]);
  socket.destroy();
  return cut;
}

test("packets that are too long, lines without an end and other protocols end their connection", async () => {
  const passive = createServer((socket) => {
    socket.on("error", () => undefined).resume();
    socket.write("SSH-2.0-Passive\r\n");
  }).listen(0, "127.0.0.1");
  await once(passive, "listening");
  const { port: passivePort } = passive.address() as AddressInfo;
  await Promise.all(
    Object.entries(long).map(async ([what, bytes]) => {
      assert.equal(await isCut(passivePort, bytes, 500), false, `${what}: ended by the server that never disconnects`);
      // Far below the limit of time for a login, which would end it as well.
      assert.equal(await isCut(gateway.address().port, bytes, 20_000), true, what);
    }),
  );
  passive.close();
  const name = randomBytes(16).toString("hex");
  routeTo(name);
  assert.equal(await attemptLogin(gateway.address().port, name, "127.0.23.2"), "in");
});

/** Tries names in turn from changing addresses. @returns the one that was let in */
async function guess(names: readonly string[], address: (at: number) => string): Promise<string | undefined> {
  const results = await Promise.all(
    names.map(async (name, at) =>
      (await attemptLogin(gateway.address().port, name, address(at))) === "in" ? name : undefined,
    ),
  );
  return results.find((name) => name !== undefined);
}

test("random user names are not guessed", { timeout: 120_000 }, async () => {
  const alphabet = "abcdefghijklmnopqrstuvwxyz234567";
  // As the server makes them, and as nobody should: all but the last character is known.
  const random = Array.from({ length: 32 }, () => alphabet[randomInt(32)]!).join("");
  const weak = `${"a".repeat(31)}${alphabet[randomInt(32)]!}`;
  for (const name of [random, weak]) routeTo(name);
  const many = (at: number) => `127.0.24.${at}`;
  const likeWeak = Array.from(alphabet, (last) => `${"a".repeat(31)}${last}`);
  assert.equal(await guess(likeWeak, many), weak, "a name that can be guessed was not guessed");
  // The same attack, with more attempts, where names are random. How many come from one address is limited besides (`logins.test.ts`).
  const names = Array.from({ length: 100 }, () => Array.from({ length: 32 }, () => alphabet[randomInt(32)]!).join(""));
  assert.equal(await guess(names, many), undefined);
});
