/** Records other than addresses: asked of the node's name servers for names that policy allows, and for no others. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeSecret, startHarness, type Harness } from "../testing/harness.ts";
import { startNameServer, type NameServer } from "../testing/name-server.ts";

const secret = makeSecret(["api.test"]);
const labels = (name: string): Buffer =>
  Buffer.concat([
    ...name.split(".").map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0]),
  ]);
const number = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const text = (value: string): Buffer => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
const srv = (target: string): Buffer => Buffer.concat([number(1), number(2), number(27017), labels(target)]);

let names: NameServer;
let listed: Harness;
let free: Harness;

before(async () => {
  names = await startNameServer(
    (name) => ({ addresses: name === "inside.test" ? ["10.0.0.1"] : name === "db.test" ? ["192.0.2.1"] : [] }),
    (name, type) => {
      if (name === "gone.test") return undefined;
      if (type === 33 && name.startsWith("_mongodb._tcp.")) return [srv("a.db.test"), srv("b.db.test")];
      if (type === 16 && name === "api.test") return [text(`key=${secret.value}`)];
      if (type === 16 && name === "parts.test")
        return [Buffer.concat([text(secret.value.slice(0, 9)), text(secret.value.slice(9))])];
      if (type === 16 && name === "long.test") return Array.from({ length: 5 }, () => text("x".repeat(90)));
      if (type === 16) return [Buffer.concat([text("v=spf1 -all"), text("second")]), text("third")];
      return type === 15 ? [Buffer.concat([number(10), labels("mx.db.test")])] : [];
    },
  );
  const common = { nameServers: [names.address], secrets: [secret] };
  listed = await startHarness({
    ...common,
    policy: { allow: ["db.test:27017", "*.below.test", "gone.test", "api.test", "inside.test", "long.test"] },
  });
  free = await startHarness(common);
});
after(async () => {
  await listed.close();
  await free.close();
  names.close();
});

interface Answer {
  readonly status: number;
  readonly records: readonly Record<string, unknown>[];
}

async function look(harness: Harness, name: string, type: string): Promise<Answer> {
  const session = await harness.guest.session();
  const stream = session.request({
    ":method": "GET",
    ":path": `/dns?${new URLSearchParams({ name, type }).toString()}`,
    ":authority": "caisson.egress",
  });
  const status = new Promise<number>((resolve, reject) =>
    stream.once("response", (headers) => resolve(Number(headers[":status"]))).once("error", reject),
  );
  const body = Buffer.concat(await stream.toArray()).toString();
  return { status: await status, records: JSON.parse(body) as Record<string, unknown>[] };
}

test("SRV, TXT and MX of allowed names, whatever port is allowed, and the audit has them", async () => {
  assert.deepEqual(await look(listed, "_mongodb._tcp.db.test", "SRV"), {
    status: 200,
    records: ["a.db.test", "b.db.test"].map((target) => ({ priority: 1, weight: 2, port: 27017, target })),
  });
  assert.deepEqual(await look(listed, "db.test", "TXT"), {
    status: 200,
    records: [{ texts: ["v=spf1 -all", "second"] }, { texts: ["third"] }],
  });
  assert.deepEqual((await look(listed, "DB.test", "MX")).records, [{ priority: 10, target: "mx.db.test" }]);
  assert.equal((await look(listed, "_dmarc.a.below.test", "TXT")).status, 200);
  const event = await listed.event((one) => one.host === "_mongodb._tcp.db.test");
  assert.deepEqual([event.protocol, event.verdict, event.rule, event.port], ["dns", "allowed", "allowed", 53]);
});

test("names outside the list, and what is no name, reach no name server", async () => {
  const before = names.questions.length;
  for (const [name, type] of [
    ["evil.test", "TXT"],
    ["_mongodb._tcp.evil.test", "SRV"],
    ["data.db.test", "TXT"],
    ["_data.evil.test", "TXT"],
    ["below.test", "MX"],
    ["db.test", "ANY"],
    ["db.test", "AXFR"],
    ["192.0.2.1", "TXT"],
    ["", "TXT"],
    ["db.test:27017", "TXT"],
  ] as const) {
    assert.deepEqual(await look(listed, name, type), { status: 403, records: [] }, `${name} ${type}`);
  }
  assert.equal(names.questions.length, before);
  assert.equal((await listed.event((one) => one.host === "evil.test")).rule, "host-not-allowed");
});

test("a name that does not exist is told from one without records", async () => {
  assert.equal((await look(listed, "gone.test", "TXT")).status, 404);
  assert.deepEqual(await look(listed, "db.test", "SRV"), { status: 200, records: [] });
});

test("without a list every public name is answered, and internal names are not", async () => {
  assert.equal((await look(free, "anything.test", "TXT")).status, 200);
  assert.equal((await look(free, "_ldap._tcp.inside.test", "SRV")).status, 403);
  assert.equal((await look(listed, "inside.test", "TXT")).status, 403);
  assert.ok(!names.questions.some((question) => /inside.test (SRV|TXT)/.test(question)));
});

test("a value in a record does not come back", async () => {
  assert.deepEqual(await look(listed, "api.test", "TXT"), { status: 403, records: [] });
  assert.deepEqual(await look(free, "parts.test", "TXT"), { status: 403, records: [] });
  await listed.refusal("secret-returned");
});

test("the question is for the name that was checked, however it was written", async () => {
  for (const [written, asked] of [
    ["\uff24\uff22.test", "db.test TXT"],
    ["_X-1._TCP.DB.test.", "_x-1._tcp.db.test TXT"],
  ] as const) {
    assert.equal((await look(listed, written, "TXT")).status, 200);
    assert.ok(names.questions.includes(asked), names.questions.join("\n"));
  }
});

test("a flood of questions is limited for the sandbox alone", async () => {
  const all = await Promise.all(Array.from({ length: 250 }, () => look(free, "flood.test", "TXT")));
  const answered = all.filter(({ status }) => status === 200).length;
  assert.ok(answered >= 50 && answered < 250, String(answered));
  assert.equal((await look(listed, "long.test", "TXT")).records.length, 5);
});
