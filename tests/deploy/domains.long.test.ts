/** A domain of one's own for an app: claimed, proved by DNS, served over HTTPS, removed. A static app, so no machine starts. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "@deno/sandbox";
import { startNameServer, type NameServer } from "@caisson/egress/testing";
import { startPlatform, until, type PlatformProcess } from "@caisson/testing";
import { visitor } from "./visit.ts";

const domain = "shop.customer.test";
const record = { name: "", value: "" };
let dns: NameServer;
let platform: PlatformProcess;
let client: Client;

before(
  async () => {
    const text = () => Buffer.concat([Buffer.from([record.value.length]), Buffer.from(record.value)]);
    dns = await startNameServer(
      () => ({ addresses: [] }),
      (name) => (name === record.name ? [text()] : undefined),
    );
    platform = await startPlatform({ config: { apps: { nameServers: [dns.address] }, pool: { size: 0 } } });
    Object.assign(process.env, platform.env);
    client = new Client();
  },
  { timeout: 240_000 },
);
after(async () => {
  await platform.stop();
  dns.close();
});

interface Answer<T> {
  readonly status: number;
  readonly body: T;
}

async function api<T>(method: string, path: string, body?: object): Promise<Answer<T>> {
  const answer = await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/api/v1/apps/site/domains${path}`, {
    method,
    headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}`, "content-type": "application/json" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: (text === "" ? undefined : JSON.parse(text)) as T };
}

test("a domain is served when it is proved, with a certificate, and no longer when it is removed", async () => {
  const visit = visitor(platform.home);
  await client.apps.create({ slug: "site" });
  const revision = (await client.apps.deploy("site", {
    assets: { "index.html": { kind: "file", encoding: "utf-8", content: "<h1>shop</h1>" } },
    config: { runtime: { type: "static", cwd: "" } },
    production: true,
  } as never)) as unknown as { id: string };
  const ended = await until(120_000, "the end of the deployment", async () => {
    const { status } = (await client.revisions.get(revision.id)) as unknown as { status: string };
    return ["succeeded", "failed"].includes(status) ? status : undefined;
  });
  assert.equal(ended, "succeeded");
  const port = (await domains(revision.id))[0]!.split(":")[1];
  const address = `${domain}:${port}`;
  type Domain = { status: string; target: string; verification: { name: string; value: string } };
  const { body: added } = await api<Domain>("POST", "", { domain });
  assert.equal(added.status, "pending");
  // Not proved yet: neither content nor a certificate.
  assert.equal((await visit(address, "/", {}, false)).status, 421);
  await assert.rejects(visit(address), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
  assert.equal((await api("POST", `/${domain}/verify`)).status, 409);
  Object.assign(record, added.verification);
  const verified = await api<Domain>("POST", `/${domain}/verify`);
  assert.deepEqual([verified.status, verified.body.status], [200, "verified"]);
  const { status, body } = await until(10_000, "the domain", async () => {
    const answer = await visit(address, "/", {}, false);
    return answer.status === 200 ? visit(address) : undefined;
  });
  assert.deepEqual([status, body], [200, "<h1>shop</h1>"]);
  assert.deepEqual(await domains(revision.id), [`${verified.body.target}:${port}`, address]);
  assert.equal((await api("DELETE", `/${domain}`)).status, 204);
  assert.equal((await visit(address, "/", {}, false)).status, 421);
  await client.apps.delete("site");
});

async function domains(revisionId: string): Promise<string[]> {
  const timelines = (await client.revisions.timelines(revisionId)) as unknown as { domains: { domain: string }[] }[];
  return timelines.flatMap((timeline) => timeline.domains.map(({ domain: name }) => name));
}
