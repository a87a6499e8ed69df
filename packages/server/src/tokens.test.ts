/** Organisations and tokens as an operator manages them, past the running server on the same database. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { buildAgent, until, UpgradeRefused, WireClient } from "@caisson/testing";
import { pino } from "pino";
import { openAccountOperator, type AccountOperator } from "./operator/accounts.ts";
import { heldConnections, openBareServer, type BareServer } from "./testing/bare-server.ts";

let directory: string;
let server: BareServer;
let operated: AccountOperator;
let accounts: AccountOperator["accounts"];

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-tokens-"));
  server = await openBareServer({ agent: buildAgent(directory) });
  operated = await openAccountOperator({ home: server.home, log: pino({ level: "silent" }) });
  accounts = operated.accounts;
});

after(async () => {
  await operated.close();
  await server.close();
  await rm(directory, { recursive: true });
});

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command in a process of its own. */
function operator(command: "orgs" | "tokens", ...args: string[]): Promise<Outcome> {
  const script = join(import.meta.dirname, `../../platform/src/${command}.ts`);
  const env = { ...process.env, CAISSON_HOME: server.home };
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env, timeout: 30_000 }, (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

const statusWith = async (token: string) =>
  (await fetch(`${server.url}/api/v2/sandboxes`, { headers: { authorization: `Bearer ${token}` } })).status;

function open(token: string, config: unknown): Promise<WireClient> {
  const { url } = server;
  return WireClient.open({
    env: { DENO_DEPLOY_ENDPOINT: url, DENO_SANDBOX_ENDPOINT: url, DENO_DEPLOY_TOKEN: token, DENO_DEPLOY_ORG: "" },
    config,
  });
}

/** Ends with the time at which the stream of events ended. */
async function stream(token: string): Promise<{ readonly ended: Promise<number> }> {
  const { body } = await fetch(`${server.url}/api/v1/audit/stream`, { headers: { authorization: `Bearer ${token}` } });
  const reader = body!.getReader();
  await reader.read();
  const read = async () => {
    try {
      while (!(await reader.read()).done);
    } catch {
      // Cut.
    }
    return performance.now();
  };
  return { ended: read() };
}

test("an organisation gets a token, which is shown once and stored as a hash", async () => {
  assert.equal((await operator("orgs", "create", "first", "--sandboxes", "3")).status, 0);
  const created = await operator("tokens", "create", "first", "laptop of Ada", "--expires", "90d");
  assert.match(created.stdout, /^ddo_[0-9A-Za-z]{43}\n$/);
  const token = created.stdout.trim();
  const id = /^Token (\S+) of first, expires 2/.exec(created.stderr)![1]!;
  assert.equal(await statusWith(token), 200);
  const org = (await accounts.listOrgs()).find(({ slug }) => slug === "first");
  assert.deepEqual([org?.concurrentSandboxes, org?.tokens], [3, 1]);
  const list = (await operator("tokens", "list", "first")).stdout;
  assert.ok(list.startsWith(`${id}  first  "laptop of Ada"  valid, created `) && !list.includes(token), list);
  const misused = await operator("tokens", "rotate");
  assert.equal(misused.status, 2);
  assert.match(misused.stderr, /^Usage: npm run tokens -- /);
  await assert.rejects(accounts.revokeToken("x"), /^CaissonError: There is no valid token with the id `x`/);
  await assert.rejects(accounts.createOrg("first"), { code: "already_exists" });
  await assert.rejects(accounts.createOrg("First!"), /lower-case letters/);
  await assert.rejects(accounts.createToken("nobody", "x"), /no organisation `nobody`/);
});

test("a token that another process revokes ends its connections and streams within seconds, and no others", async () => {
  await accounts.createOrg("second");
  const doomed = await accounts.createToken("second", "doomed");
  const other = await accounts.createToken("second", "other");
  const session = await open(doomed.token, {});
  const stays = await open(other.token, { timeout: "1m" });
  const [cut, goes] = [await stream(doomed.token), await stream(other.token)];
  let otherEnded = false;
  void goes.ended.then(() => (otherEnded = true));
  assert.equal((await operator("tokens", "revoke", doomed.id)).status, 0);
  const revoked = performance.now();
  const { code, reason } = await session.closed;
  assert.deepEqual([code, reason], [1008, "The token was revoked or has expired."]);
  assert.ok((await cut.ended) - revoked < 15_000);
  assert.ok(performance.now() - revoked < 15_000);
  assert.equal(await statusWith(doomed.token), 401);
  await assert.rejects(open(doomed.token, {}), (error) => error instanceof UpgradeRefused && error.status === 401);
  // The session ended with its client.
  await until(5_000, "one sandbox", async () => {
    const answer = await fetch(`${server.url}/api/v2/sandboxes`, {
      headers: { authorization: `Bearer ${other.token}` },
    });
    const list = (await answer.json()) as { status: string }[];
    return list.filter(({ status }) => status === "running").length === 1 || undefined;
  });
  assert.equal(typeof (await stays.ok("envGet", { key: "HOME" })), "string");
  assert.equal(otherEnded, false);
  // A client that does not take part in the close is cut.
  stays.socket.pause();
  assert.equal(await accounts.revokeOrg("second"), 1);
  await goes.ended;
  await until(10_000, "no connection", async () => (await heldConnections(server.port)) === 0 || undefined);
  stays.socket.terminate();
});

test("a token that expires ends its connections; a rotated one stays valid as long as wanted", async () => {
  await accounts.createOrg("third");
  const short = await accounts.createToken("third", "short", 2_000);
  const connection = await open(short.token, { timeout: "1m" });
  assert.equal((await connection.closed).code, 1008);
  assert.equal(await statusWith(short.token), 401);

  const first = await accounts.createToken("third", "long");
  const second = await accounts.rotateToken(first.id, { overlap: 3600_000 });
  assert.deepEqual([await statusWith(first.token), await statusWith(second.token)], [200, 200]);
  const third = await accounts.rotateToken(second.id);
  assert.deepEqual([await statusWith(second.token), await statusWith(third.token)], [401, 200]);
  const states = (await accounts.listTokens("third")).map(({ name, state }) => `${name} ${state}`);
  assert.deepEqual(states, ["short expired", "long valid", "long revoked", "long valid"]);
});
