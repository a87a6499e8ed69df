import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { App, EnvVar, Layer } from "@caisson/api";
import { pino } from "pino";
import { openAccountOperator } from "../operator/index.ts";
import { openBareServer, rawClient, type BareServer } from "../testing/bare-server.ts";

const limits = { maxCount: 12, maxLayers: 12, envVars: 8, envBytes: 40_000 };

describe("apps over HTTP", () => {
  let bare: BareServer;
  before(async () => {
    bare = await openBareServer({ config: { apps: limits } });
  });
  after(() => bare.close());

  interface Answer<T> {
    readonly status: number;
    readonly body: T;
    readonly next: string | undefined;
  }

  async function call<T = { code: string; message: string }>(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<Answer<T>> {
    const response = await fetch(path.startsWith("http") ? path : `${bare.url}/api/v2${path}`, {
      method,
      headers: { authorization: `Bearer ${bare.server.development.token}` },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const next = /^<(.+)>; rel="next"$/.exec(response.headers.get("link") ?? "")?.[1];
    return { status: response.status, body: (text === "" ? undefined : JSON.parse(text)) as T, next };
  }
  const createApp = async (body: unknown = {}) => {
    const answer = await call<App>("POST", "/apps", body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return answer.body;
  };
  const refused = async (status: number, code: string, method: string, path: string, body?: unknown) => {
    const answer = await call(method, path, body);
    assert.deepEqual([answer.status, answer.body.code], [status, code], answer.body.message);
    return answer.body.message;
  };
  const values = (variables: readonly EnvVar[]) => Object.fromEntries(variables.map(({ key, value }) => [key, value]));

  test("create, get by id and slug, change, delete", async () => {
    const app = await createApp();
    assert.match(app.id, /^[0-9a-f-]{36}$/);
    assert.match(app.slug, /^[a-z]+-[a-z]+-[0-9a-z]{6}$/);
    assert.deepEqual([app.labels, app.env_vars, app.config, app.layers], [{}, [], {}, []]);
    assert.deepEqual((await call<App>("GET", `/apps/${app.slug}`)).body, app);
    const config = { install: null, build: "deno task build", runtime: { type: "static", cwd: "dist", spa: true } };
    const labels = { "custom.env": "test" };
    const { body } = await call<App>("PATCH", `/apps/${app.id}`, { slug: "renamed", labels, config });
    assert.deepEqual([body.slug, body.labels, body.config], ["renamed", labels, config]);
    assert.equal(body.created_at, app.created_at);
    assert.notEqual(body.updated_at, app.updated_at);
    await refused(409, "SLUG_ALREADY_IN_USE", "POST", "/apps", { slug: "renamed" });
    assert.equal((await call("DELETE", "/apps/renamed")).status, 204);
    await refused(404, "APP_NOT_FOUND", "GET", `/apps/${app.id}`);
    await refused(404, "APP_NOT_FOUND", "DELETE", `/apps/${app.id}`);
    // Its slug is free.
    const again = await createApp({ slug: "renamed" });
    assert.equal((await call("DELETE", `/apps/${again.id}`)).status, 204);
  });

  test("what is not valid is refused and changes nothing", async () => {
    const app = await createApp({ slug: "strict", env_vars: [{ key: "A", value: "1" }] });
    for (const slug of ["A", "x", "-ab", "ab-", "a--b", "a".repeat(33), "ä1", "a.b"])
      await refused(400, "INVALID_ARGUMENT", "PATCH", "/apps/strict", { slug });
    for (const bad of [
      { config: { framework: "fresh", runtime: { type: "static", cwd: "." } } },
      { config: { framework: "no-such" } },
      { config: { runtime: { type: "dynamic" } } },
      { labels: { a: "1", b: "2", c: "3", d: "4", e: "5", f: "6" } },
      { labels: { a: "x".repeat(129) } },
      { env_vars: [{ key: "DENO_DEPLOY", value: "1" }] },
      { env_vars: [{ key: "LD_PRELOAD", value: "1" }] },
      { env_vars: [{ key: "AWS_ROLE_ARN", value: "1" }] },
      { env_vars: [{ key: "1A", value: "1" }] },
      { env_vars: [{ key: "B", value: "x".repeat(16_385) }] },
      { env_vars: [{ key: "B", value: "a\0b" }] },
      { env_vars: [{ key: "B", value: "1", contexts: ["staging"] }] },
      { env_vars: [{ key: "B", value: "1", contexts: [] }] },
      { env_vars: [{ key: "B" }] },
      { env_vars: [{ value: "1" }] },
      { layers: "x" },
      "{",
      "[]",
    ])
      await refused(400, "INVALID_ARGUMENT", "PATCH", "/apps/strict", bad);
    const twice = [
      { key: "B", value: "1" },
      { key: "B", value: "2", contexts: ["build"] },
    ];
    assert.match(await refused(400, "INVALID_ARGUMENT", "POST", "/apps", { env_vars: twice }), /two variables/);
    await refused(404, "NOT_FOUND", "PATCH", "/apps/strict", { env_vars: [{ id: "nope", value: "1" }] });
    await refused(404, "LAYER_NOT_FOUND", "PATCH", "/apps/strict", { slug: "moved", layers: ["nope"] });
    await refused(429, "ENV_VAR_LIMIT_REACHED", "PATCH", "/apps/strict", {
      env_vars: Array.from({ length: 9 }, (_, index) => ({ key: `K${index}`, value: "1" })),
    });
    await refused(429, "ENV_VAR_LIMIT_REACHED", "PATCH", "/apps/strict", {
      env_vars: Array.from({ length: 3 }, (_, index) => ({ key: `K${index}`, value: "x".repeat(16_000) })),
    });
    // Only announced: a client that is still sending may not read the answer.
    const head = `POST /api/v2/apps HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${bare.server.development.token}\r\n`;
    const large = rawClient(bare.port, `${head}content-length: ${2 ** 20 + 1}\r\n\r\n`);
    assert.match(await large.ended, /^HTTP\/1.1 413 [^]+TOO_LARGE/);
    large.socket.destroy();
    // In pieces, without an announced length: it is counted as it arrives.
    const piece = `80000\r\n${" ".repeat(2 ** 19)}\r\n`;
    const pieces = rawClient(bare.port, `${head}transfer-encoding: chunked\r\n\r\n${piece.repeat(3)}`);
    assert.match(await pieces.ended, /^HTTP\/1.1 413 [^]+TOO_LARGE/);
    pieces.socket.destroy();
    const whole = rawClient(
      bare.port,
      `${head}connection: close\r\ntransfer-encoding: chunked\r\n\r\n11\r\n{"slug":"pieces"}\r\n1\r\n \r\n0\r\n\r\n`,
    );
    assert.match(await whole.ended, /^HTTP\/1.1 200 [^]+"slug":"pieces"/);
    await call("DELETE", "/apps/pieces");
    assert.deepEqual((await call<App>("GET", "/apps/strict")).body, app);
    await call("DELETE", "/apps/strict");
  });

  test("without a token, a large body is not read", async () => {
    for (const path of ["/api/v2/apps", "/api/v2/apps/one/deploy"]) {
      const head = `POST ${path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n`;
      // Its end never comes.
      const client = rawClient(bare.port, `${head}1\r\n{\r\n`);
      assert.match(await client.ended, /^HTTP\/1.1 401 /, path);
      client.socket.destroy();
    }
  });

  test("the API document has every schema that it names, and describes the bodies of apps", async () => {
    const document = (await (await fetch(`${bare.url}/openapi.json`)).json()) as {
      components: { schemas: Record<string, { $ref?: string; properties?: object }> };
    };
    const { schemas } = document.components;
    const named = JSON.stringify(document).matchAll(/"\$ref":"([^"]+)"/g);
    for (const [, reference = ""] of named)
      assert.ok(schemas[reference.replace("#/components/schemas/", "")], reference);
    const bodies = [
      "CreateAppRequest",
      "UpdateAppRequest",
      "CreateLayerRequest",
      "UpdateLayerRequest",
      "DeployRequest",
    ];
    for (const name of bodies) assert.ok("env_vars" in (schemas[name]?.properties ?? {}), name);
    assert.ok("assets" in schemas["DeployRequest"]!.properties!);
  });

  test("a body with half a million wrong elements costs little", async () => {
    const started = performance.now();
    await refused(
      400,
      "INVALID_ARGUMENT",
      "POST",
      "/apps",
      `{"env_vars":[${Array.from({ length: 250_000 }, () => "1").join(",")}]}`,
    );
    assert.ok(performance.now() - started < 20_000);
  });

  test("variables are merged by id and by key; contexts keep them apart", async () => {
    const { id, env_vars } = await createApp({
      env_vars: [
        { key: "FOO", value: "bar" },
        { key: "URL", value: "prod", contexts: ["production"] },
        { key: "URL", value: "dev", contexts: ["Development"] },
      ],
    });
    const [foo, prod, dev] = env_vars;
    assert.deepEqual([foo!.contexts, dev!.contexts], ["all", ["development"]]);
    const merged = await call<App>("PATCH", `/apps/${id}`, {
      env_vars: [
        { key: "BAZ", value: "qux" },
        { key: "FOO", value: "new" },
        { id: prod!.id, key: "HOST" },
        { key: "URL", contexts: ["development"], value: "dev2" },
      ],
    });
    assert.deepEqual(values(merged.body.env_vars), { FOO: "new", HOST: "prod", URL: "dev2", BAZ: "qux" });
    assert.equal(merged.body.env_vars[0]!.id, foo!.id);
    const removed = await call<App>("PATCH", `/apps/${id}`, {
      env_vars: [
        { key: "FOO", delete: true },
        { id: dev!.id, delete: true },
      ],
    });
    assert.deepEqual(values(removed.body.env_vars), { HOST: "prod", BAZ: "qux" });
    await call("DELETE", `/apps/${id}`);
  });

  test("a secret is never returned, and none of the values is in the database files", async () => {
    const secret = "sk-live-8t3bq0vfz1";
    const plain = "plain-5dk29xw7rm";
    const app = await createApp({
      env_vars: [
        { key: "SECRET", value: secret, secret: true },
        { key: "PLAIN", value: plain },
      ],
    });
    assert.deepEqual(values(app.env_vars), { SECRET: undefined, PLAIN: plain });
    assert.deepEqual(app.env_vars[0], { id: app.env_vars[0]!.id, key: "SECRET", secret: true, contexts: "all" });
    const visible = { env_vars: [{ key: "SECRET", secret: false }] };
    assert.match(
      await refused(400, "INVALID_ARGUMENT", "PATCH", `/apps/${app.id}`, visible),
      /together with a new value/,
    );
    const layer = await call<Layer>("POST", "/layers", {
      slug: "with-secret",
      env_vars: [{ key: "S", value: secret, secret: true }],
    });
    for (const { body } of [
      await call<unknown>("GET", `/apps/${app.id}`),
      await call<unknown>("GET", "/apps"),
      await call<unknown>("GET", "/layers"),
      layer,
      await call<unknown>("PATCH", `/apps/${app.id}`, { env_vars: [{ key: "SECRET", contexts: ["production"] }] }),
    ])
      assert.ok(!JSON.stringify(body).includes(secret));
    const files = await Promise.all(["caisson.db", "caisson.db-wal"].map((file) => readFile(join(bare.home, file))));
    const bytes = Buffer.concat(files).toString("latin1");
    assert.ok(bytes.includes("with-secret") && bytes.includes(app.id), "the files have the rows");
    for (const value of [secret, plain]) assert.ok(!bytes.includes(value), "the files have a value");
    assert.ok(!bare.lines.join("").includes(secret));
    await call("DELETE", `/apps/${app.id}`);
    await call("DELETE", "/layers/with-secret");
  });

  test("layers: create, change, search, which apps name them, delete only when unused", async () => {
    const { body: base } = await call<Layer>("POST", "/layers", {
      slug: "base",
      description: "For ALL of us",
      env_vars: [{ key: "A", value: "1" }],
    });
    const { body: top } = await call<Layer>("POST", "/layers", { slug: "top", layers: ["base"] });
    assert.deepEqual([top.layers, top.app_count], [[{ id: base.id, slug: "base" }], 0]);
    const app = await createApp({ slug: "layered", layers: [top.id, "base"] });
    assert.deepEqual(app.layers, [
      { id: top.id, slug: "top" },
      { id: base.id, slug: "base" },
    ]);
    assert.deepEqual((await call("GET", "/layers/base/apps")).body, [
      { id: app.id, slug: "layered", layer_position: 1 },
    ]);
    assert.equal((await call<Layer>("GET", "/layers/base")).body.app_count, 1);
    assert.deepEqual(
      (await call<Layer[]>("GET", "/layers?search=all%20of")).body.map(({ slug }) => slug),
      ["base"],
    );
    const changed = await call<Layer>("PATCH", "/layers/base", {
      slug: "renamed-base",
      env_vars: [{ key: "B", value: "2" }],
    });
    assert.deepEqual(values(changed.body.env_vars), { A: "1", B: "2" });
    assert.equal((await call<App>("GET", "/apps/layered")).body.layers[1]!.slug, "renamed-base");
    assert.match(
      await refused(400, "INVALID_ARGUMENT", "PATCH", "/layers/renamed-base", { layers: ["top"] }),
      /include itself/,
    );
    await refused(400, "INVALID_ARGUMENT", "PATCH", "/apps/layered", { layers: ["top", top.id] });
    await refused(409, "SLUG_ALREADY_IN_USE", "POST", "/layers", { slug: "top" });
    assert.match(await refused(409, "INVALID_STATE", "DELETE", `/layers/${base.id}`), /`layered`, `top`/);
    await call("PATCH", "/apps/layered", { layers: [] });
    await refused(409, "INVALID_STATE", "DELETE", `/layers/${base.id}`);
    assert.equal((await call("DELETE", "/layers/top")).status, 204);
    assert.equal((await call("DELETE", `/layers/${base.id}`)).status, 204);
    await refused(404, "LAYER_NOT_FOUND", "GET", "/layers/top");
    await call("DELETE", "/apps/layered");
  });

  test("layers include layers only so deep", async () => {
    await call("POST", "/layers", { slug: "deep-0" });
    for (let depth = 1; depth <= 8; depth++) {
      const { status } = await call("POST", "/layers", { slug: `deep-${depth}`, layers: [`deep-${depth - 1}`] });
      assert.equal(status, 200);
    }
    await refused(400, "INVALID_ARGUMENT", "POST", "/layers", { slug: "deep-9", layers: ["deep-8"] });
    for (let depth = 8; depth >= 0; depth--) assert.equal((await call("DELETE", `/layers/deep-${depth}`)).status, 204);
  });

  test("lists have pages, and filters by label and layer", async () => {
    await call("POST", "/layers", { slug: "filter" });
    const made: App[] = [];
    for (let index = 0; index < 5; index++)
      made.push(
        await createApp({ labels: { team: "sdk", index: String(index) }, layers: index < 2 ? ["filter"] : [] }),
      );
    const pages: string[][] = [];
    for (let next: string | undefined = "/apps?limit=2&labels[team]=sdk"; next !== undefined;) {
      const page: Answer<App[]> = await call<App[]>("GET", next);
      pages.push(page.body.map(({ id }) => id));
      next = page.next;
    }
    assert.deepEqual(
      pages.map(({ length }) => length),
      [2, 2, 1],
    );
    assert.deepEqual(pages.flat(), made.map(({ id }) => id).toReversed());
    const slugs = async (query: string) => (await call<App[]>("GET", `/apps?${query}`)).body.map(({ id }) => id);
    assert.deepEqual(await slugs("labels={'team': 'sdk', 'index': '3'}"), [made[3]!.id]);
    assert.deepEqual(await slugs("labels[index]=1&labels[team]=other"), []);
    assert.deepEqual(await slugs("layer=filter"), [made[1]!.id, made[0]!.id]);
    await refused(400, "INVALID_ARGUMENT", "GET", "/apps?limit=0");
    await refused(400, "INVALID_ARGUMENT", "GET", "/apps?cursor=x");
    for (const { id } of made) await call("DELETE", `/apps/${id}`);
    await call("DELETE", "/layers/filter");
  });

  test("another organisation sees nothing, and its slugs are its own", async () => {
    const app = await createApp({ slug: "mine" });
    const operator = await openAccountOperator({ home: bare.home, log: pino({ level: "silent" }) });
    await operator.accounts.createOrg("others");
    const { token } = await operator.accounts.createToken("others", "test");
    await operator.close();
    const asOthers = async (method: string, path: string, body?: unknown) => {
      const headers = { authorization: `Bearer ${token}` };
      const response = await fetch(`${bare.url}/api/v2${path}`, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.text() };
    };
    for (const name of [app.id, "mine"]) {
      const missing = await asOthers("GET", `/apps/${name}`);
      assert.deepEqual([missing.status, (JSON.parse(missing.body) as { code: string }).code], [404, "APP_NOT_FOUND"]);
      assert.equal((await asOthers("PATCH", `/apps/${name}`, {})).status, 404);
      assert.equal((await asOthers("DELETE", `/apps/${name}`)).status, 404);
    }
    assert.equal((await asOthers("GET", "/apps")).body, "[]");
    assert.equal((await asOthers("POST", "/apps", { slug: "mine" })).status, 200);
    assert.equal((await fetch(`${bare.url}/api/v2/apps/mine`)).status, 401);
    await call("DELETE", "/apps/mine");
  });

  test("an organisation has so many apps and layers, and not more", async () => {
    const made: App[] = [];
    for (let index = 0; index < limits.maxCount; index++) made.push(await createApp());
    await refused(429, "APP_LIMIT_REACHED", "POST", "/apps", {});
    await call("DELETE", `/apps/${made[0]!.id}`);
    made.push(await createApp());
    for (const { id } of made) await call("DELETE", `/apps/${id}`);
    for (let index = 0; index < limits.maxLayers; index++) await call("POST", "/layers", { slug: `many-${index}` });
    await refused(429, "LAYER_LIMIT_REACHED", "POST", "/layers", { slug: "one-more" });
  });
});
