/** Placeholders in places where they are replaced as they stand, and in places where they cannot be. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, before, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { makeSecret, startHarness, startHttps, startTcp, type Harness, type Upstream } from "../testing/harness.ts";
import { ask, type Ask, type Reply } from "../testing/talk.ts";

const telegram = makeSecret(["api.test"], { name: "TELEGRAM", value: "123456:AAF-x/y_z0123456789" });
const slashes = makeSecret(["api.test"], { name: "SLASHES", value: "T0/B0//../xyz0123456789" });
const odd = makeSecret(["api.test"], { name: "ODD", value: "a b#c?d%41{é}-0123456789" });
const sas = makeSecret(["api.test"], { name: "SAS", value: "sv=2024&sig=a%2Fb%3D&se=2026-11-30T00:00Z" });
const plain = makeSecret(["api.test"], { name: "PLAIN", inBody: false });
const body = makeSecret(["api.test"], { name: "BODY", inBody: true });
const key = makeSecret(["aws.test"], { name: "AWS_ACCESS_KEY_ID" });
const signing = makeSecret(["aws.test"], { name: "AWS_SECRET_ACCESS_KEY" });
let upstream: Upstream;
let database: Upstream;
let harness: Harness;
let arrived: { url: string; body: string }[] = [];
let heard = "";

before(async () => {
  const https = await startHttps(["api.test", "aws.test"], (request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      arrived.push({ url: request.url!, body: text });
      response.end("ok");
    });
    request.on("error", () => {});
  });
  new WebSocketServer({ server: https.server }).on("connection", (socket) => {
    socket.on("error", () => {});
    socket.on("message", (data: Buffer) => {
      arrived.push({ url: "websocket", body: data.toString() });
      socket.send("got it");
    });
  });
  upstream = https;
  database = await startTcp(
    createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (chunk) => {
        heard += chunk.toString();
        socket.write("+OK\r\n");
      });
    }),
  );
  const to = `127.0.0.1:${upstream.port}`;
  harness = await startHarness({
    policy: { allow: ["api.test", "aws.test"] },
    secrets: [telegram, slashes, odd, sas, plain, body, key, signing],
    resolve: { "api.test:443": to, "aws.test:443": to, "api.test:6379": `127.0.0.1:${database.port}` },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
  await database.close();
});

async function sent(asking: Ask, host = "api.test"): Promise<{ url: string; body: string }> {
  arrived = [];
  const reply = await ask(harness.guest, host, asking);
  assert.equal(reply.status, 200, reply.text);
  return arrived[0]!;
}

async function refused(rule: string, asking: Ask, host = "api.test"): Promise<Reply> {
  arrived = [];
  const reply = await ask(harness.guest, host, asking);
  assert.deepEqual([reply.status, JSON.parse(reply.text).rule, arrived.length], [403, rule, 0], reply.text);
  return reply;
}

test("a value in the path stands as its owner wrote it, unless it would lead to another path", async () => {
  for (const [secret, before, behind, written] of [
    [telegram, "/bot", "/getMe?a=b", telegram.value],
    [telegram, "/", "", telegram.value],
    [slashes, "/services/", "", encodeURIComponent(slashes.value)],
    [odd, "/a/", "/b?c=d", encodeURIComponent(odd.value)],
  ] as const) {
    const { url } = await sent({ path: before + secret.placeholder + behind });
    assert.equal(url, before + written + behind);
  }
});

test("in the query a value is encoded, unless it is a part of the query by itself", async () => {
  const { url } = await sent({ path: `/?k=${sas.placeholder}&a=${telegram.placeholder}` });
  assert.equal(url, `/?k=${encodeURIComponent(sas.value)}&a=${encodeURIComponent(telegram.value)}`);
  assert.equal((await sent({ path: `/blob?${sas.placeholder}` })).url, `/blob?${sas.value}`);
  assert.equal((await sent({ path: `/blob?a=1&${sas.placeholder}&b=2` })).url, `/blob?a=1&${sas.value}&b=2`);
  assert.equal((await sent({ path: `/?${odd.placeholder}` })).url, `/?${encodeURIComponent(odd.value)}`);
});

const typed = (type: string, text: string): Ask => ({ method: "POST", headers: { "content-type": type }, body: text });
const json = "application/json";
const form = "application/x-www-form-urlencoded";
const credentials: Record<string, (word: string) => Ask> = {
  "a form": (word) => typed(form, `client_id=1&client_secret=${word}&grant_type=x`),
  JSON: (word) => typed(json, JSON.stringify({ token: word })),
  "JSON with a scheme": (word) => typed("application/vnd.api+json; charset=utf-8", `{"a":"Bearer ${word}"}`),
  "a multipart form": (word) =>
    typed("multipart/form-data; boundary=b", `--b\r\nContent-Disposition: form-data; name="k"\r\n\r\n${word}\r\n--b--`),
  XML: (word) => typed("text/xml", `<key>${word}</key>`),
  text: (word) => typed("text/plain", `AUTH ${word}`),
  "a body without a type": (word) => ({ method: "POST", body: `k=${word}` }),
};
for (const [where, asking] of Object.entries(credentials)) {
  test(`a placeholder in ${where} is refused, with what to do, or replaced, or passed on, as the secret says`, async () => {
    const reply = await refused("secret-not-in-body", asking(telegram.placeholder));
    assert.match(JSON.parse(reply.text).message, /TELEGRAM.*`inBody: true`.*`inBody: false`/);
    assert.ok((await sent(asking(body.placeholder))).body.includes(body.value));
    assert.ok((await sent(asking(plain.placeholder))).body.includes(plain.placeholder));
  });
}

test("a placeholder in text about it goes on: the output of `env` in a conversation", async () => {
  const output = `TELEGRAM=${telegram.placeholder}\nHOME=/home/app\n`;
  const nested = JSON.stringify({ TELEGRAM: telegram.placeholder });
  for (const content of [output, nested, `my key is "${telegram.placeholder}"`]) {
    const text = JSON.stringify({ messages: [{ role: "tool", content }] });
    assert.equal((await sent(typed(json, text))).body, text);
  }
});

test("the first message of a WebSocket", async () => {
  const open = async (word: string): Promise<[number, string] | string> => {
    const socket = await harness.guest.connectTls("api.test:443");
    const web = new WebSocket("wss://api.test/", { createConnection: () => socket });
    web.on("error", () => {});
    await once(web, "open");
    web.send(JSON.stringify({ token: word }));
    const end = new Promise<[number, string]>((resolve) =>
      web.once("close", (code, reason) => resolve([code, reason.toString()])),
    );
    const answer = new Promise<string>((resolve) => web.once("message", (data: Buffer) => resolve(data.toString())));
    const result = await Promise.race([end, answer]);
    web.terminate();
    return result;
  };
  arrived = [];
  const [code, reason] = (await open(telegram.placeholder)) as [number, string];
  assert.equal(code, 1008);
  assert.match(reason, /TELEGRAM/);
  assert.deepEqual(arrived, []);
  assert.equal(await open(body.placeholder), "got it");
  assert.deepEqual(arrived, [{ url: "websocket", body: JSON.stringify({ token: body.value }) }]);
});

test("a signature that was made with a placeholder is refused before the host says that it is wrong", async () => {
  const credential = `${key.placeholder}/20261130/us-east-1/s3/aws4_request`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=host, Signature=00`;
  const reply = await refused("secret-in-signature", { headers: { authorization } }, "aws.test");
  assert.match(JSON.parse(reply.text).message, /AWS_SECRET_ACCESS_KEY.*presigned/);
  const query = `/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(credential)}&X-Amz-Signature=0`;
  await refused("secret-in-signature", { path: query }, "aws.test");
  assert.equal((await sent({ headers: { authorization: `Bearer ${key.placeholder}` } }, "aws.test")).url, "/");
});

test("a database gets no placeholder, however it is cut, and the audit says why", async () => {
  for (const cut of [0, 3, 20]) {
    heard = "";
    const before = harness.events.length;
    const socket = await harness.guest.connect("api.test:6379");
    socket.on("error", () => {}).resume();
    socket.write("PING\r\n");
    await once(socket, "data");
    const text = `*2\r\n$4\r\nAUTH\r\n${telegram.placeholder}\r\n`;
    socket.write(text.slice(0, 16 + cut));
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.write(text.slice(16 + cut));
    await once(socket, "close");
    assert.ok(!heard.includes(telegram.placeholder), heard);
    const event = await harness.event(
      (one) => harness.events.indexOf(one) >= before && one.port === 6379 && one.verdict === "refused",
    );
    assert.equal(event.rule, "secret-not-in-http");
    assert.match(event.detail!, /TELEGRAM.*plain environment variable/);
  }
});
