/**
 * Carries out every attack where nothing stands in its way: a sandbox without policy that holds the key itself, and an operator
 * who maps and opens everything. Each must be seen to come through; one that is not proves nothing in the tests either.
 *
 *   node tests/egress/prove-attacks-can-fail.ts [--slice 2/4] [part of a table's title]...
 *
 * All of it takes some minutes; slices divide the tables among runs.
 */
import { randomBytes } from "node:crypto";
import { parseArgs } from "node:util";
import { previewAttacks } from "./attacks/previews/attacks.ts";
import { naiveWorld } from "./attacks/previews/naive.ts";
import { carryOut, openField } from "./attacks/run.ts";
import { tables } from "./attacks/tables/index.ts";

const { values, positionals } = parseArgs({ options: { slice: { type: "string" } }, allowPositionals: true });
const [slice = 1, slices = 1] = (values.slice ?? "1/1").split("/").map(Number);
const wanted = positionals.map((word) => word.toLowerCase());
const chosen = tables.filter(
  ({ title }, index) =>
    index % slices === slice - 1 && (wanted.length === 0 || wanted.some((word) => title.toLowerCase().includes(word))),
);
/** From outside, against a gateway without any defence; part of the last slice. */
const previews = "Public addresses";
const withPreviews =
  slice === slices && (wanted.length === 0 || wanted.some((word) => previews.toLowerCase().includes(word)));
if (chosen.length === 0 && !withPreviews)
  throw new Error(
    `No table is meant. There are: ${[...tables, { title: previews }].map(({ title }) => title).join("; ")}.`,
  );

const blind: string[] = [];
let seen = 0;
for (const table of chosen) {
  console.log(`\n${table.title}`);
  // Each has an operator of its own, who opens what the table needs.
  const field = await openField([table], "off");
  const campaign = await carryOut(table, field);
  for (const attack of table.attacks) {
    const found = campaign.evidence.get(attack.name);
    const success = found === undefined ? undefined : attack.succeeded(found);
    if (success === undefined) blind.push(`${table.title}: ${attack.name}`);
    else seen++;
    console.log(
      `  ${success === undefined ? "BLIND" : "seen "} ${attack.name}: ${success ?? `${found?.outcome.slice(0, 400)} ${JSON.stringify(found?.audit ?? []).slice(0, 1000)}`}`,
    );
  }
  await campaign.close();
  await field.close();
}
if (withPreviews) {
  console.log(`\n${previews}`);
  const world = await naiveWorld();
  for (const { name, run } of previewAttacks) {
    const success = await run(world, randomBytes(12).toString("hex"));
    if (success === undefined) blind.push(`${previews}: ${name}`);
    else seen++;
    console.log(`  ${success === undefined ? "BLIND" : "seen "} ${name}: ${success ?? ""}`);
  }
  await world.close();
}
console.log(`\n${seen} attacks are seen to come through, ${blind.length} are not`);
for (const name of blind) console.log(`  ${name}`);
process.exitCode = blind.length === 0 ? 0 : 1;
