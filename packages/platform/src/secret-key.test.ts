import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, test } from "node:test";
import { pino } from "pino";
import { loadIdentity, loadNodeId } from "./identity.ts";
import { loadKey } from "./secret-key.ts";

const log = pino({ level: "silent" });
let home: string;
let path: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "caisson-key-"));
  path = join(home, "secret.key");
});
afterEach(() => rm(home, { recursive: true }));

const unused = async () => true;

test("the key is made once, whole, and for its owner alone", async () => {
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadKey({ home, unused, env: {} })));
  for (const key of keys) assert.deepEqual(key, keys[0]);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  assert.deepEqual(Buffer.from(await readFile(path, "utf8"), "base64"), keys[0]);
  assert.deepEqual(await readdir(home), ["secret.key"]);
});

const whole = `${Buffer.alloc(32, 7).toString("base64")}\n`;
for (const [what, content, message] of [
  ["empty", "", /secret\.key is empty.*Restore the file from your backup.*delete the file/],
  ["one line feed", "\n", /is empty/],
  ["cut short", whole.slice(0, 30), /is damaged: it must hold the base64 form of 32 bytes/],
  ["overwritten with zeros", "\0".repeat(whole.length), /is damaged/],
  ["with a byte that is not base64", whole.replace("B", "*"), /is damaged/],
  ["twice as long", whole + whole, /is damaged/],
] as const) {
  test(`a key file that is ${what} is refused, says what to do, and stays as it is`, async () => {
    await writeFile(path, content);
    await assert.rejects(loadKey({ home, unused, env: {} }), { code: "invalid_argument", message });
    assert.equal(await readFile(path, "utf8"), content);
  });
}

test("no new key is made beside a database that has encrypted rows; one of the environment is used", async () => {
  // A check of volumes opens the database before the first start; that is no use of a key.
  const nodeId = await loadNodeId({ home, log });
  const { key } = await loadIdentity({ home, log });
  assert.equal(key.length, 32);
  await rm(path);
  const db = new DatabaseSync(join(home, "caisson.db"));
  db.exec(`
    insert into nodes values ('${nodeId}', 'ord', 'host', 1, 1);
    insert into orgs (id, slug, created_at) values ('o', 'development', 1);
    insert into tokens (id, org_id, hash, name, sealed, created_at) values ('t', 'o', 'h', 'development', 'sealed', 1);
  `);
  db.close();
  await assert.rejects(loadIdentity({ home, log }), {
    code: "invalid_state",
    message: /secret\.key does not exist, but the database has rows .* Restore the file from your backup/,
  });
  assert.deepEqual(
    (await readdir(home)).filter((name) => name.startsWith("secret")),
    [],
  );
  const env = { CAISSON_SECRET_KEY: randomBytes(32).toString("base64") };
  assert.equal((await loadKey({ home, unused: async () => false, env })).toString("base64"), env.CAISSON_SECRET_KEY);
  // The id of the node is in the embedded database as well.
  await rm(join(home, "node-id"));
  assert.equal(await loadNodeId({ home, log }), nodeId);
});
