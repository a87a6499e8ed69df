/**
 * Carries out every attack where nothing stands in its way: a sandbox without policy that holds the key itself, and an operator
 * who maps and opens everything. Each must be seen to come through; one that is not proves nothing in the tests either.
 *
 *   node tests/egress/prove-attacks-can-fail.ts [title or part of one]...
 */
import { carryOut } from "./attacks/run.ts";
import { tables } from "./attacks/tables/index.ts";

const wanted = process.argv.slice(2).map((word) => word.toLowerCase());
let blind = 0;
let seen = 0;
for (const table of tables) {
  if (wanted.length > 0 && !wanted.some((word) => table.title.toLowerCase().includes(word))) continue;
  console.log(`\n${table.title}`);
  const campaign = await carryOut(table, "off");
  for (const attack of table.attacks) {
    const found = campaign.evidence.get(attack.name);
    const success = found === undefined ? undefined : attack.succeeded(found);
    if (success === undefined) blind++;
    else seen++;
    console.log(
      `  ${success === undefined ? "BLIND" : "seen "} ${attack.name}: ${success ?? `${found?.outcome.slice(0, 400)} ${JSON.stringify(found?.audit ?? [])}`}`,
    );
  }
  await campaign.close();
}
console.log(`\n${seen} attacks are seen to come through, ${blind} are not`);
process.exitCode = blind === 0 ? 0 : 1;
