/** Logins by SSH in the audit and the metrics: the whole control plane, with the real agent as a process of this host. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { until, WireClient } from "@caisson/testing";
import { controlPlane, type ControlPlane } from "./control-plane.ts";
import { OpenSsh, type SshAddress } from "./openssh.ts";

let plane: ControlPlane;
before(async () => {
  plane = await controlPlane();
});
after(() => plane.close());

interface Entry {
  readonly kind: string;
  readonly rule: string;
  readonly host: string;
  readonly connection: string;
  readonly bytesOut: number;
  readonly detail: string;
}

test("a session is in the audit at its login and at its end, without its user name", { timeout: 60_000 }, async () => {
  const sandbox = await WireClient.open({ env: plane.env, config: { stop_at_ms: Date.now() + 60_000 } });
  const id = String(sandbox.headers["x-deno-sandbox-id"]);
  const address = (await (await plane.rest(`/api/v3/sandbox/${id}/expose/ssh`, "POST")).json()) as SshAddress;
  const client = new OpenSsh(address, plane.ssh.publicKey);
  assert.equal((await client.run("ssh", ["sandbox", "head -c 100000 /dev/zero"])).code, 0);
  const stranger = new OpenSsh({ ...address, username: "w".repeat(32) }, plane.ssh.publicKey);
  assert.equal((await stranger.run("ssh", ["sandbox", "true"])).code, 255);
  const entries = await until(20_000, "both entries", async () => {
    const list = (await (await plane.rest(`/api/v1/audit?sandbox=${id}`)).json()) as Entry[];
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
  assert.ok(!plane.lines.join("").includes(address.username), "the log has a user name");
  const metrics = await (await fetch(`${plane.env.DENO_DEPLOY_ENDPOINT}/metrics`)).text();
  assert.match(metrics, /caisson_ssh_logins_total\{result="accepted"\} 1\n/);
  assert.match(metrics, /caisson_ssh_logins_total\{result="refused"\} 1\n/);
});
