/** An approved host gets the value; the guest never does. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { IncomingMessage } from "node:http";
import { makeSecret, startHarness, startHttps, type Harness, type Upstream } from "../../testing/harness.ts";
import { ask } from "../../testing/talk.ts";

const secret = makeSecret(["api.test"]);
let upstream: Upstream;
let harness: Harness;
const seen: { url: string; headers: IncomingMessage["headers"]; body: string }[] = [];

before(async () => {
  upstream = await startHttps(["api.test"], (request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      seen.push({ url: request.url!, headers: request.headers, body });
      response.setHeader("x-echo", request.headers.authorization ?? "none");
      response.end(JSON.stringify({ url: request.url, authorization: request.headers.authorization }));
    });
  });
  harness = await startHarness({
    policy: { allow: ["api.test"] },
    secrets: [secret],
    resolve: { "api.test": `127.0.0.1:${upstream.port}` },
  });
});
after(async () => {
  await harness.close();
  await upstream.close();
});

test("a header value is substituted on the way out and redacted on the way back", async () => {
  const reply = await ask(harness.guest, "api.test", { headers: { authorization: `Bearer ${secret.placeholder}` } });
  assert.equal(reply.status, 200);
  assert.equal(seen.at(-1)!.headers.authorization, `Bearer ${secret.value}`);
  assert.equal(reply.headers["x-echo"], `Bearer ${secret.placeholder}`);
  assert.equal(JSON.parse(reply.text).authorization, `Bearer ${secret.placeholder}`);
  const event = await harness.event((event) => event.kind === "request" && event.verdict === "allowed");
  assert.deepEqual(event.secrets, ["API_KEY"]);
  assert.ok(!JSON.stringify(harness.events).includes(secret.value));
});
