/** Every row of the contract through the official clients: JavaScript on Node and on Deno, Python synchronous and asynchronous. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { fullVariable, sharedPlatform } from "@caisson/testing";
import { areas as allAreas, columns as allColumns, longAreas, rows, slowAreas, type Area } from "./rows.ts";
import { judge, runSelection } from "./runner/run-all.ts";

/** Usually one column of each client, or of one where its machines take long; the others take as long again and differ in the client's own code alone. */
const full = process.env[fullVariable] === "1";
const columnsOf = (area: Area) =>
  full ? allColumns : slowAreas.has(area) ? (["js-node"] as const) : (["js-node", "py-sync", "py16-async"] as const);
const areas = full ? allAreas : allAreas.filter((area) => !longAreas.has(area));
const { env } = await sharedPlatform();
const runs = runSelection({ areas, columnsOf }, env);
// Each is awaited by a test of its own below; none may count as unhandled before that test's turn.
for (const run of runs.values()) run.catch(() => undefined);

test("every row of the table is named once", () => {
  const numbers = rows.map((row) => row.row);
  assert.deepEqual(numbers, [...new Set(numbers)]);
});

for (const area of areas) {
  test(area, async (context) => {
    const pending = runs.get(area);
    assert.ok(pending);
    for (const cell of judge(area, columnsOf(area), await pending)) {
      const name = `${cell.row.row} ${cell.row.what} [${cell.column}]`;
      const skip = cell.verdict === "not-offered" ? (cell.detail ?? true) : false;
      await context.test(name, { skip }, () => assert.ok(cell.verdict !== "fail", cell.detail));
    }
  });
}
