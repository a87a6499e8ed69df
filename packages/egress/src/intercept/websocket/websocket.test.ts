/** WebSocket through interception: frames carry no key to the guest and no placeholder to the wrong host. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket, WebSocketServer } from "ws";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { raw } from "../../testing/talk.ts";
import { FrameError, FrameReader, writeFrame } from "./frames.ts";

const secret = makeSecret(["api.test"]);
const bodily = makeSecret(["api.test"], { name: "BODILY", inBody: true });
const { value, placeholder } = secret;
let upstream: Upstream;
let harness: Harness;
let offered: string | undefined;
const received: string[] = [];

before(async () => {
  const started = await startHttps(["api.test", "other.test"], (_, response) =>
    response.writeHead(401).end(`no upgrade for ${value}`),
  );
  upstream = started;
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: true });
  started.server.on("upgrade", (request, socket, head) => {
    offered = request.headers["sec-websocket-extensions"];
    if (request.url === "/refuse") {
      socket.end(`HTTP/1.1 401 Unauthorized\r\ncontent-length: ${value.length}\r\n\r\n${value}`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (connection) => {
      const key = (request.headers.authorization ?? "").replace("Bearer ", "");
      connection.on("error", () => {});
      connection.on("message", (data, binary) => {
        const command = (data as Buffer).toString();
        received.push(command);
        if (command === "key") connection.send(`your key is ${key}.`);
        else if (command === "fragments")
          for (const [index, byte] of Array.from(key).entries())
            connection.send(byte, { fin: index === key.length - 1 });
        else if (command === "binary")
          connection.send(Buffer.concat([Buffer.from([0, 255]), Buffer.from(key), Buffer.from([1])]));
        else if (command === "close") connection.close(4000, `bye ${key}`);
        else if (command === "ping") connection.ping(key);
        else connection.send(data, { binary });
      });
    });
  });
  const to = `127.0.0.1:${upstream.port}`;
  harness = await startHarness({
    policy: { allow: ["api.test", "other.test"] },
    secrets: [secret, bodily],
    resolve: { "api.test": to, "other.test": to },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

async function open(
  host = "api.test",
  headers: Record<string, string> = { authorization: `Bearer ${placeholder}` },
): Promise<WebSocket> {
  const socket = await harness.guest.connectTls(`${host}:443`);
  const client = new WebSocket(`wss://${host}/`, {
    createConnection: () => socket as never,
    headers,
    perMessageDeflate: true,
  });
  client.on("error", () => {});
  await once(client, "open");
  return client;
}

async function reply(client: WebSocket, command: string | Buffer): Promise<Buffer> {
  const answer = once(client, "message");
  client.send(command);
  return (await answer)[0] as Buffer;
}

test("a key that the host sends back is the placeholder in the frame, whole, in fragments, as binary", async () => {
  const client = await open();
  assert.equal((await reply(client, "key")).toString(), `your key is ${placeholder}.`);
  assert.equal((await reply(client, "fragments")).toString(), placeholder);
  const binary = await reply(client, "binary");
  assert.ok(binary.equals(Buffer.concat([Buffer.from([0, 255]), Buffer.from(placeholder), Buffer.from([1])])));
  const pinged = once(client, "ping");
  client.send("ping");
  assert.equal(String((await pinged)[0]), placeholder);
  const closed = once(client, "close");
  client.send("close");
  const [code, reason] = await closed;
  assert.equal(code, 4000);
  assert.equal(String(reason), `bye ${placeholder}`);
});

test("compression is not agreed on, since nobody could read the frames", async () => {
  const client = await open();
  assert.equal(offered, undefined);
  assert.equal(client.extensions, "");
  client.terminate();
});

test("a client that offers compression is served in a sandbox without secrets too", async () => {
  const other = await startHarness({
    policy: { allow: ["api.test"] },
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
  try {
    const socket = await other.guest.connectTls("api.test:443");
    const client = new WebSocket("wss://api.test/", {
      createConnection: () => socket as never,
      perMessageDeflate: true,
    });
    await once(client, "open");
    assert.equal((await reply(client, "x".repeat(5000))).length, 5000);
    client.terminate();
  } finally {
    await other.close();
  }
});

test("messages of every size come back as they went", async () => {
  const client = await open();
  for (const size of [0, 1, 125, 126, 127, 65535, 65536, 1_000_000]) {
    const data = randomBytes(size);
    assert.ok((await reply(client, data)).equals(data), String(size));
  }
  client.terminate();
});

test("a placeholder in a frame to a host that it is not for ends the connection before it gets there", async () => {
  const client = await open("other.test", {});
  received.length = 0;
  const closed = once(client, "close");
  client.send(`take this: ${placeholder}`);
  const [code] = await closed;
  assert.equal(code, 1008);
  assert.ok(!received.some((message) => message.includes(placeholder)));
  const event = await harness.refusal("secret-not-approved");
  assert.equal(event.protocol, "websocket");
});

test("a secret for bodies is put into frames", async () => {
  const client = await open();
  received.length = 0;
  const answer = await reply(client, `k=${bodily.placeholder}`);
  assert.equal(received[0], `k=${bodily.value}`);
  assert.equal(answer.toString(), `k=${bodily.placeholder}`);
  client.terminate();
});

test("an answer that is not an upgrade reaches the guest, redacted", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  const text = await raw(
    socket,
    `GET /refuse HTTP/1.1\r\nhost: api.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
  );
  assert.match(text, /^HTTP\/1\.1 401 /);
  assert.ok(text.includes(placeholder) && !text.includes(value), text);
});

test("an upgrade is judged like every request", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  const text = await raw(
    socket,
    "GET / HTTP/1.1\r\nhost: evil.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  assert.match(text, /^HTTP\/1\.1 403 /);
});

test("bytes that are no frames end the connection", async () => {
  const socket = await harness.guest.connectTls("api.test:443");
  socket.write(
    "GET / HTTP/1.1\r\nhost: api.test\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
  );
  await once(socket, "data");
  socket.write("GET /smuggled HTTP/1.1\r\nhost: evil.test\r\n\r\n");
  socket.resume();
  await Promise.race([once(socket, "close"), sleep(7_000).then(() => assert.fail("still open"))]);
  await harness.refusal("malformed-frame");
});

test("frames survive any split, and the reader never throws anything but its own error", () => {
  let seed = 3;
  const random = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
  for (let round = 0; round < 300; round++) {
    const messages = Array.from({ length: 1 + random(4) }, () => randomBytes(random(400)));
    const wire = Buffer.concat(messages.flatMap((payload) => writeFrame({ opcode: 2, fin: true, payload }, true)));
    const reader = new FrameReader(true);
    const got: Buffer[][] = [[]];
    for (let at = 0; at < wire.length;) {
      const size = 1 + random(90);
      for (const part of reader.push(wire.subarray(at, at + size))) {
        got.at(-1)!.push(part.payload);
        if (part.kind === "data" && part.last) got.push([]);
      }
      at += size;
    }
    assert.deepEqual(
      got.slice(0, -1).map((parts) => Buffer.concat(parts)),
      messages,
    );
  }
  for (let round = 0; round < 3_000; round++) {
    try {
      new FrameReader(random(2) === 0).push(randomBytes(random(60)));
    } catch (error) {
      assert.ok(error instanceof FrameError);
    }
  }
});
