/** Logins by SSH in the audit and the metrics: the whole control plane, with the real agent as a process of this host. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createSshGateway } from "@caisson/gateway";
import { DirectoryBlobs, LocalLayers } from "@caisson/layers";
import { configSchema, type SshGateway } from "@caisson/protocol";
import { createServer, type CaissonServer } from "@caisson/server";
import { buildAgent, HostNode, until, WireClient, type ClientEnvironment } from "@caisson/testing";
import { pino } from "pino";
import { OpenSsh, type SshAddress } from "./openssh.ts";

let home: string;
let node: HostNode;
let ssh: SshGateway;
let server: CaissonServer;
let env: ClientEnvironment;
const lines: string[] = [];
const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(line) });

before(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-ssh-audit-"));
  const layers = new LocalLayers(join(home, "layers"), new DirectoryBlobs(join(home, "volumes", "blobs")));
  node = new HostNode(buildAgent(home), layers);
  const key = randomBytes(32);
  ssh = createSshGateway({ host: "127.0.0.1", port: 0, publicHost: "127.0.0.1", seed: key, log });
  server = await createServer({ home, key, config: configSchema.parse({}), node, ssh, log });
  const { url } = await server.start({ host: "127.0.0.1", port: 0 });
  const { token, org } = server.development;
  env = { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: org };
});
after(async () => {
  await server.close("end");
  await node.close();
  await rm(home, { recursive: true });
});

const rest = (path: string, method = "GET") =>
  fetch(`${env.DENO_DEPLOY_ENDPOINT}${path}`, {
    method,
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}`, "content-type": "application/json" },
    ...(method === "POST" && { body: "{}" }),
  });

interface Entry {
  readonly kind: string;
  readonly rule: string;
  readonly host: string;
  readonly connection: string;
  readonly bytesOut: number;
  readonly detail: string;
}

test("a session is in the audit at its login and at its end, without its user name", { timeout: 60_000 }, async () => {
  const sandbox = await WireClient.open({ env, config: { stop_at_ms: Date.now() + 60_000 } });
  const id = String(sandbox.headers["x-deno-sandbox-id"]);
  const address = (await (await rest(`/api/v3/sandbox/${id}/expose/ssh`, "POST")).json()) as SshAddress;
  const client = new OpenSsh(address, ssh.publicKey);
  assert.equal((await client.run("ssh", ["sandbox", "head -c 100000 /dev/zero"])).code, 0);
  const stranger = new OpenSsh({ ...address, username: "w".repeat(32) }, ssh.publicKey);
  assert.equal((await stranger.run("ssh", ["sandbox", "true"])).code, 255);
  const entries = await until(20_000, "both entries", async () => {
    const list = (await (await rest(`/api/v1/audit?sandbox=${id}`)).json()) as Entry[];
    const found = list.filter(({ kind }) => kind === "ssh");
    return found.length === 2 ? found : undefined;
  });
  const [end, login] = entries as [Entry, Entry];
  assert.deepEqual([login.rule, end.rule], ["ssh-login", "ssh-end"]);
  assert.equal(login.connection, end.connection);
  assert.equal(login.host, "127.0.0.1");
  assert.ok(end.bytesOut > 100_000);
  const hash = createHash("sha256").update(address.username).digest("hex");
  assert.match(login.detail, new RegExp(`^user name sha256:${hash}, client OpenSSH_`));
  assert.match(end.detail, /1 sessions, 0 forwarded connections$/);
  assert.ok(!JSON.stringify(entries).includes(address.username));
  assert.ok(!lines.join("").includes(address.username), "the log has a user name");
  const metrics = await (await fetch(`${env.DENO_DEPLOY_ENDPOINT}/metrics`)).text();
  assert.match(metrics, /caisson_ssh_logins_total\{result="accepted"\} 1\n/);
  assert.match(metrics, /caisson_ssh_logins_total\{result="refused"\} 1\n/);
});
