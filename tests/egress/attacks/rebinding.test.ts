import assert from "node:assert/strict";
import { test } from "node:test";
import { Sandbox } from "@deno/sandbox";
import { within } from "@caisson/testing";
import { rebinding } from "./tables/rebinding.ts";
import { testTables } from "./run.ts";

const bytes = (...parts: readonly (string | number)[]): Buffer =>
  Buffer.concat(
    parts.map((part) =>
      typeof part === "number"
        ? Buffer.from([part >> 8, part & 255])
        : Buffer.from([part.length, ...Buffer.from(part)]),
    ),
  );
const end = Buffer.from([0]);

/** As the drivers of databases and mail programs ask (`mongodb+srv://`). */
const program = `
const dns = require("node:dns").promises;
const ask = async (name, type) => dns.resolve(name, type).then((found) => JSON.stringify(found), (error) => error.code);
(async () => {
  console.log("srv", await ask("_mongodb._tcp.db.zone.example", "SRV"));
  console.log("txt", await ask("db.zone.example", "TXT"));
  console.log("mx", await ask("db.zone.example", "MX"));
  console.log("none", await ask("_other._tcp.db.zone.example", "SRV"));
  console.log("refused", await ask("secret-data.other.example", "TXT"));
})();`;

// The platform must take the test's name server for the host's, which only root can arrange.
if (process.getuid?.() === 0) {
  const field = testTables([rebinding]);
  test(
    "records other than addresses are answered for allowed names, and for no others",
    { timeout: 180_000 },
    async () => {
      const { platform, nameServer } = await field();
      assert.ok(nameServer);
      const target = (name: string): Buffer => Buffer.concat([bytes(name, "db", "zone", "example"), end]);
      nameServer.publish("_mongodb._tcp.db.zone.example", 33, [Buffer.concat([bytes(0, 5, 27017), target("a")])]);
      nameServer.publish("db.zone.example", 16, [bytes("authSource=admin", "x=y")]);
      nameServer.publish("db.zone.example", 15, [Buffer.concat([bytes(10), target("mx")])]);
      const sandbox = await within(60_000, "the sandbox", Sandbox.create({ allowNet: ["db.zone.example:27017"] }));
      try {
        const child = await sandbox.spawn("node", { args: ["-e", program], stdout: "piped", stderr: "null" });
        const { stdoutText } = await within(90_000, "the program", child.output());
        assert.deepEqual((stdoutText ?? "").trim().split("\n"), [
          'srv [{"name":"a.db.zone.example","port":27017,"priority":0,"weight":5,"type":"SRV"}]',
          'txt [["authSource=admin","x=y"]]',
          'mx [{"exchange":"mx.db.zone.example","priority":10,"type":"MX"}]',
          "none ENOTFOUND",
          "refused EREFUSED",
        ]);
        assert.ok(!nameServer.queries.some((query) => query.includes("secret-data")));
        const events = await platform.audit(sandbox.id);
        const event = events.find(({ host }) => host === "secret-data.other.example");
        assert.deepEqual([event?.protocol, event?.verdict, event?.rule], ["dns", "refused", "host-not-allowed"]);
      } finally {
        await sandbox.kill();
      }
    },
  );
} else
  test(rebinding.title, { skip: "needs root, to give the platform a name server of the attacker's" }, () => undefined);
