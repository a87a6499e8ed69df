/** From a sandbox to production by the official client, unmodified: real machines, real gateway. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { deployCode } from "./deploy-code.ts";
import { visitor } from "./visit.ts";

const { env, home } = await sharedPlatform();
const visit = visitor(home);
const client = new Client();
const slug = `deployed-${process.pid}`;
let sandbox: Sandbox;

const program = `
console.log("starts");
Deno.serve(async (request) => {
  const { pathname } = new URL(request.url);
  if (pathname === "/environment") return Response.json(Deno.env.toObject());
  if (pathname === "/crash") {
    Deno.stdout.writeSync(new TextEncoder().encode("the last words"));
    Deno.exit(3);
  }
  console.error("asked for " + pathname);
  return new Response("first");
});`;

before(async () => {
  sandbox = await Sandbox.create({
    allowNet: ["api.example.com"],
    secrets: { API_KEY: { hosts: ["api.example.com"], value: "the-real-key-of-this-test" } },
  });
  await client.apps.create({ slug, env_vars: [{ key: "GREETING", value: "hello" }] });
});
after(async () => {
  await sandbox.kill().catch(() => undefined);
  await client.apps.delete(slug).catch(() => undefined);
});

let domain: string;

test(
  "deploy from a sandbox, build.logs(), build.done, and the app answers over HTTPS",
  { timeout: 240_000 },
  async () => {
    const { done, logs } = await deployCode(sandbox, slug, program);
    assert.ok(logs.length > 0);
    assert.deepEqual([done.status, done.failure_message], ["succeeded", null]);
    domain = done.timelines.find((timeline) => timeline.slug === "production")!.domains[0]!.domain;
    assert.match(domain, new RegExp(`^${slug}\\.[a-z0-9-]+\\.app\\.localhost:\\d+$`));
    assert.deepEqual((await visit(domain)).body, "first");
    const seen = JSON.parse((await visit(domain, "/environment")).body) as Record<string, string>;
    assert.equal(seen["GREETING"], "hello");
    assert.deepEqual(
      [seen["DENO_DEPLOY"], seen["DENO_TIMELINE"], seen["DENO_DEPLOYMENT_ID"]],
      ["true", "production", done.id],
    );
    assert.match(seen["API_KEY"]!, /^caisson-secret-api-key-/);
    assert.ok(!JSON.stringify(seen).includes("the-real-key"));
    const inSandbox = await sandbox.env.get("API_KEY");
    assert.notEqual(seen["API_KEY"], inSandbox);
  },
);

interface Line {
  readonly level: string;
  readonly message: string;
  readonly trace_id?: string;
}

test("what an app prints is in its logs, by level and request, to the last words", { timeout: 120_000 }, async () => {
  const trace = "0af7651916cd43dd8448eb211c80319c";
  await visit(domain, "/traced", { traceparent: `00-${trace}-b7ad6b7169203331-01` });
  assert.equal((await visit(domain, "/crash")).status, 502);
  const start = new Date(Date.now() - 600_000).toISOString();
  const messages = await until(60_000, "the logs", async () => {
    const logs = await Array.fromAsync((await client.apps.logs(slug, { start })) as AsyncIterable<Line>);
    const lines = logs.map(({ level, message, trace_id = "-" }) => `${level}: ${message} ${trace_id}`);
    return lines.includes("error: The program ended: exit code 3. -") ? lines : undefined;
  });
  for (const line of ["info: starts -", `error: asked for /traced ${trace}`, "info: the last words -"])
    assert.ok(messages.includes(line), `${line}\n${messages.join("\n")}`);
  assert.match(messages.join("\n"), /^error: asked for \/ [0-9a-f]{32}$/m);
});

test("deleting an app stops its traffic, and nothing is left", { timeout: 60_000 }, async () => {
  await client.apps.delete(slug);
  // What is nobody's has no certificate.
  assert.equal((await visit(domain, "/", {}, false)).status, 404);
  await until(30_000, "no instance", async () => {
    const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}/metrics`, {
      headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
    });
    return /^caisson_app_instances 0$/m.test(await answer.text()) ? true : undefined;
  });
});
