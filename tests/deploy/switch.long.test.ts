/** Production changes hands under load: by a deployment, by one that fails, and back in one call. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, Sandbox } from "@deno/sandbox";
import { sharedPlatform, until } from "@caisson/testing";
import { deployCode, type Done } from "./deploy-code.ts";
import { visitor } from "./visit.ts";

const { env, home } = await sharedPlatform();
const visit = visitor(home);
const client = new Client();
const slug = `switched-${process.pid}`;
let sandbox: Sandbox;

const program = (word: string) => `
Deno.serve(async (request) => {
  if (new URL(request.url).pathname === "/slow") await new Promise((resolve) => setTimeout(resolve, 3000));
  return new Response("${word}");
});`;

/** Visits all the time. `stop` answers with the different answers. */
function load(domain: string) {
  const answers: string[] = [];
  const going = new AbortController();
  const visits = Array.from({ length: 3 }, async () => {
    while (!going.signal.aborted)
      answers.push(await visit(domain).then(({ status, body }) => (status === 200 ? body : `${status} ${body}`)));
  });
  const shows = (word: string) => until(30_000, word, () => (answers.at(-1) === word ? true : undefined));
  const stop = async () => {
    going.abort();
    await Promise.all(visits);
    return [...new Set(answers)].toSorted();
  };
  return { shows, stop };
}

let first: Done;
let domain: string;

before(
  async () => {
    sandbox = await Sandbox.create();
    await client.apps.create({ slug });
    first = (await deployCode(sandbox, slug, program("first"))).done;
    assert.deepEqual([first.status, first.failure_message], ["succeeded", null]);
    domain = first.timelines[0]!.domains[0]!.domain;
  },
  { timeout: 200_000 },
);
after(async () => {
  await sandbox.kill().catch(() => undefined);
  await client.apps.delete(slug).catch(() => undefined);
});

test(
  "a deployment takes over without a failed request, and what is under way ends where it began",
  { timeout: 280_000 },
  async () => {
    const visits = load(domain);
    const slow = visit(domain, "/slow");
    const second = (await deployCode(sandbox, slug, program("second"))).done;
    assert.equal(second.status, "succeeded");
    await visits.shows("second");
    assert.deepEqual(await visits.stop(), ["first", "second"]);
    assert.equal((await slow).body, "first");
  },
);

test("a broken revision is listed with its reason, and changes nothing", { timeout: 200_000 }, async () => {
  const broken = (await deployCode(sandbox, slug, `console.error("no such database"); Deno.exit(7);`)).done;
  assert.equal(broken.status, "failed");
  assert.match(broken.failure_message!, /ended before it listened: exit code 7\.[^]*no such database/);
  assert.equal((await visit(domain)).body, "second");
});

test("one call rolls back, without a build and without a failed request", { timeout: 200_000 }, async () => {
  const visits = load(domain);
  const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}/api/v2/revisions/${first.id}/promote`, {
    method: "POST",
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}` },
  });
  assert.ok(answer.ok, await answer.text());
  await visits.shows("first");
  assert.deepEqual(await visits.stop(), ["first", "second"]);
});
