/** The console calls of the `deno sandbox` command line, by the client library and the settings that it uses. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { buildAgent, WireClient } from "@caisson/testing";
import { createTRPCClient, httpBatchStreamLink } from "@trpc/client";
import { openBareServer, type BareServer } from "../testing/bare-server.ts";
import type { procedures } from "./procedures.ts";

let directory: string;
let server: BareServer;
let sandbox: WireClient;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "caisson-console-"));
  server = await openBareServer({ agent: buildAgent(directory) });
  const { url } = server;
  sandbox = await WireClient.open({
    env: {
      DENO_DEPLOY_ENDPOINT: url,
      DENO_SANDBOX_ENDPOINT: url,
      DENO_DEPLOY_TOKEN: server.server.development.token,
      DENO_DEPLOY_ORG: "",
    },
  });
});

after(async () => {
  await sandbox.close();
  await server.close();
  await rm(directory, { recursive: true });
});

/** As the command line makes it: a cookie, superjson to the server, and an answer that is evaluated. */
function consoleClient(token: string) {
  const never = () => {
    throw new Error("not called on a client");
  };
  return createTRPCClient<typeof procedures>({
    links: [
      httpBatchStreamLink({
        url: `${server.url}/api`,
        headers: { cookie: `other=1; token=${token}; deno_auth_ghid=force` },
        transformer: {
          input: { serialize: (value: unknown) => ({ json: value }), deserialize: never },
          // oxlint-disable-next-line no-eval
          output: { serialize: never, deserialize: (text: unknown) => (0, eval)(`(${String(text)})`) as unknown },
        },
      }),
    ],
  });
}

const failure = (call: Promise<unknown>) =>
  call.then(
    () => assert.fail("it was answered"),
    (error: { data?: { code?: string; httpStatus?: number; stack?: string }; message: string }) => error,
  );

test("account, organisations, list, host name, kill", async () => {
  const client = consoleClient(server.server.development.token);
  const [me, orgs] = await Promise.all([client.account.me.query(), client.orgs.list.query()]);
  assert.deepEqual({ ...me }, { user: null, tokenType: "organization" });
  assert.deepEqual(
    orgs.map(({ slug, name }) => [slug, name]),
    [["development", "development"]],
  );
  const org = "development";
  const [listed] = await client.sandboxes.list.query({ org });
  assert.equal(listed?.id, sandbox.sandboxId);
  assert.equal(listed.status, "running");
  // Dates arrive as dates.
  assert.ok((listed.created_at as unknown) instanceof Date);
  assert.equal(listed.stopped_at, null);
  assert.equal(listed.cluster_hostname.split(".")[0], "ord");
  const sandboxId = listed.id;
  const { hostname } = await client.sandboxes.findHostname.query({ org: orgs[0]!.id, sandboxId });
  assert.deepEqual(
    { ...(await client.sandboxes.kill.mutate({ org, sandboxId, clusterHostname: hostname })) },
    {
      success: true,
    },
  );
  const [ended] = await client.sandboxes.list.query({ org });
  assert.equal(ended?.status, "stopped");
  assert.ok((ended.stopped_at as unknown) instanceof Date);
});

test("refusals have a code and a status", async () => {
  const client = consoleClient(server.server.development.token);
  const id = "sbx_ord_00000000000000000000";
  const unknown = await failure(client.sandboxes.findHostname.query({ org: "development", sandboxId: id }));
  assert.deepEqual([unknown.data?.code, unknown.data?.httpStatus], ["NOT_FOUND", 404]);
  assert.equal(unknown.data?.stack, undefined);
  const foreign = await failure(client.sandboxes.list.query({ org: "another" }));
  assert.deepEqual([foreign.data?.code, foreign.data?.httpStatus], ["FORBIDDEN", 403]);
  assert.match(foreign.message, /another/);
  const wrong = await failure(client.sandboxes.list.query({ org: 7 as unknown as string }));
  assert.equal(wrong.data?.code, "BAD_REQUEST");
  const absent = await failure(
    (client as never as { apps: { list: { query(): Promise<unknown> } } }).apps.list.query(),
  );
  assert.equal(absent.data?.code, "NOT_FOUND");
});

test("a cookie counts on these paths alone, and a wrong one is a plain 401", async () => {
  const { token } = server.server.development;
  const cookie = `token=${token}`;
  const ask = async (path: string, headers: Record<string, string>, method = "GET") =>
    (await fetch(`${server.url}${path}`, { headers, method })).status;
  assert.equal(await ask("/api/orgs.list", { cookie }), 200);
  for (const path of ["/api/v2/sandboxes", "/api/v1/audit", "/api/v2/sandboxes?x=/api/orgs.list"])
    assert.equal(await ask(path, { cookie }), 401, path);
  for (const wrong of ["token=ddo_x", "token=", `nottoken=${token}`, "x=1"])
    assert.equal(await ask("/api/orgs.list", { cookie: wrong }), 401, wrong);
  // A page of another site that makes a browser send the cookie.
  assert.equal(await ask("/api/sandboxes.kill", { cookie, origin: "https://evil.example" }, "POST"), 403);
  assert.equal(await ask(`/api/${Array(11).fill("orgs.list").join(",")}?batch=1`, { cookie }), 400);
});
