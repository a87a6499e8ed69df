/**
 * `npm run conformance [-- --write] [--area <area>] [--column <column>]`: runs the suite and prints the table. `--write` puts it
 * into docs/conformance.md, when nothing failed. The exit status says whether everything passed.
 */
import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { readEnvFile, sharedHomeVariable, startPlatform } from "@caisson/testing";
import { areas, columns, type Area, type Column } from "./rows.ts";
import { judge, runSelection, type Cell } from "./runner/run-all.ts";
import { renderTable } from "./runner/table.ts";

const { values } = parseArgs({
  options: {
    write: { type: "boolean", default: false },
    area: { type: "string", multiple: true },
    column: { type: "string", multiple: true },
  },
});
const selection = {
  areas: (values.area as Area[] | undefined) ?? areas,
  columns: (values.column as Column[] | undefined) ?? columns,
};
const whole = values.area === undefined && values.column === undefined;
if (values.write && !whole) throw new Error("Only a run of the whole suite can be written.");

const home = process.env[sharedHomeVariable];
const platform = home === undefined ? await startPlatform() : undefined;
const cells: Cell[] = [];
try {
  const env = platform?.env ?? (await readEnvFile(`${home}/env`));
  const start = performance.now();
  for (const [area, pending] of runSelection({ areas: selection.areas, columnsOf: () => selection.columns }, env)) {
    const runs = await pending;
    const own = judge(area, selection.columns, runs);
    cells.push(...own);
    const times = [...runs].map(([column, run]) => `${column} ${(run.milliseconds / 1000).toFixed(1)} s`).join(", ");
    console.log(`${area}: ${own.filter((cell) => cell.verdict !== "fail").length} of ${own.length} (${times})`);
    for (const cell of own) {
      if (cell.verdict === "fail")
        console.log(
          `  FAIL row ${cell.row.row} ${cell.column}: ${cell.row.what}\n    ${cell.detail?.replaceAll("\n", "\n    ")}`,
        );
    }
  }
  console.log(`${((performance.now() - start) / 1000).toFixed(0)} s`);
} finally {
  await platform?.stop();
}
const failed = cells.filter((cell) => cell.verdict === "fail").length;
if (values.write && failed === 0)
  await writeFile(new URL("../../docs/conformance.md", import.meta.url), renderTable(cells));
console.log(`${cells.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
