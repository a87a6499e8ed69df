/** What belongs to the table of secrets: that the key does arrive where it may, who is refused at creation, two sandboxes. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Sandbox, type SandboxOptions } from "@deno/sandbox";
import { descendants } from "@caisson/testing";
import { needlesFor, searchFiles } from "../world/search.ts";
import type { Campaign } from "./run.ts";
import { secrets } from "./tables/secrets.ts";

/** Any allowed host of the table's. */
const host = "s00.ok.example";

export function secretTests(campaign: () => Campaign): void {
  test("the approved host gets the real key, and that is recorded by name", async () => {
    const { sandbox, platform, key, evidence } = campaign();
    const answer = await sandbox.sh`curl -sS -m 8 -H "authorization: Bearer $KEY" https://s00.ok.example/`.text();
    assert.match(answer, /reached host/);
    const listener = evidence.get(secrets.attacks[0]?.name ?? "")?.listeners.host;
    assert.equal(listener?.requests.at(-1)?.headers.authorization, `Bearer ${key}`);
    await new Promise((resolve) => setTimeout(resolve, 600));
    const event = (await platform.audit(sandbox.id)).find((one) => one.kind === "request" && one.host === host);
    assert.deepEqual([event?.verdict, event?.secrets], ["allowed", ["KEY"]]);
  });

  const refused: Record<string, SandboxOptions> = {
    "a secret for an address": { secrets: { K: { hosts: ["203.0.113.7"], value: "long-enough-to-be-a-secret" } } },
    "a secret for port 80": { secrets: { K: { hosts: ["api.example:80"], value: "long-enough-to-be-a-secret" } } },
    "a secret for every host": { secrets: { K: { hosts: ["*"], value: "long-enough-to-be-a-secret" } } },
    "a secret for a URL": { secrets: { K: { hosts: ["https://api.example/"], value: "long-enough-to-be-a-secret" } } },
    "a secret for no host": { secrets: { K: { hosts: [], value: "long-enough-to-be-a-secret" } } },
    "a secret for a host that the policy does not allow": {
      allowNet: ["other.example"],
      secrets: { K: { hosts: ["api.example"], value: "long-enough-to-be-a-secret" } },
    },
    "a secret for another port than the policy allows": {
      allowNet: ["api.example:443"],
      secrets: { K: { hosts: ["api.example:8443"], value: "long-enough-to-be-a-secret" } },
    },
  };
  for (const [name, options] of Object.entries(refused)) {
    test(`18: ${name} is refused when the sandbox is created`, async () => {
      campaign();
      const outcome = await Sandbox.create(options).catch((error: unknown) => error);
      if (outcome instanceof Sandbox) await outcome.kill();
      assert.ok(outcome instanceof Error && !(outcome instanceof Sandbox), "was created");
      assert.match(outcome.message, /secret|host|pattern|at least|hosts/i);
    });
  }

  test("19: placeholder and authority of one sandbox are worth nothing in another", async () => {
    const { sandbox, key, evidence } = campaign();
    await using second = await Sandbox.create({
      allowNet: ["*.ok.example"],
      secrets: { KEY: { hosts: ["*.ok.example"], value: key } },
    });
    const foreign = (await sandbox.sh`printenv KEY`.text()).trim();
    assert.notEqual((await second.sh`printenv KEY`.text()).trim(), foreign);
    await second.sh`curl -sS -m 8 -H "authorization: Bearer ${foreign}" https://s01.ok.example/foreign`.text();
    const seen = evidence
      .get(secrets.attacks[1]?.name ?? "")
      ?.listeners.host.requests.find(({ target }) => target === "/foreign");
    assert.equal(seen?.headers.authorization, `Bearer ${foreign}`);
    const authority = await sandbox.sh`cat /usr/local/share/ca-certificates/caisson.crt`.text();
    await second.fs.writeTextFile("/tmp/foreign.pem", authority);
    const judged =
      await second.sh`curl -sS -m 8 --capath /var/empty --cacert /tmp/foreign.pem https://s01.ok.example/ 2>&1 || true`.text();
    assert.match(judged, /certificate|self.signed|issuer/i);
    assert.doesNotMatch(judged, /reached/);
  });

  test("4: the key is in no file, log, record, argument or environment of the platform", async () => {
    const { platform, sandbox, key } = campaign();
    const needles = needlesFor(key);
    // The placeholder stands in the store, so the search does find what is there.
    const placeholder: [string, Buffer] = ["placeholder", Buffer.from((await sandbox.sh`printenv KEY`.text()).trim())];
    assert.deepEqual([...searchFiles(platform.home, new Map([...needles, placeholder])).found], ["placeholder"]);
    const texts: [string, string][] = [
      ["the log", platform.output()],
      ["the audit", JSON.stringify(await platform.audit(sandbox.id))],
      [
        "the metrics",
        await fetch(`${platform.env.DENO_DEPLOY_ENDPOINT}/metrics`, {
          headers: { authorization: `Bearer ${platform.env.DENO_DEPLOY_TOKEN}` },
        }).then((answer) => answer.text()),
      ],
      ...descendants(platform.pid).map(({ pid, command }): [string, string] => [
        command.slice(0, 80),
        readFileSync(`/proc/${pid}/cmdline`, "latin1") + readFileSync(`/proc/${pid}/environ`, "latin1"),
      ]),
    ];
    assert.ok(texts.length > 4, "no process was looked at");
    for (const [where, text] of texts) assert.notEqual(text, "", `${where} could not be read`);
    for (const [where, text] of texts)
      for (const [spelling, needle] of needles)
        assert.ok(!Buffer.from(text).includes(needle), `${where} holds the key (${spelling})`);
  });
}
