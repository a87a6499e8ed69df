/** Runs areas in columns, a few processes at a time, and judges every row of the table in every column. */
import { availableParallelism } from "node:os";
import { startPlatform, type ClientEnvironment } from "@caisson/testing";
import { exceptionFor, isOffered, rows, type Area, type Column, type Row } from "../rows.ts";
import { runArea, type AreaRun } from "./columns.ts";

export type Verdict = "pass" | "partly" | "client-bug" | "not-offered" | "fail";

export interface Cell {
  readonly row: Row;
  readonly column: Column;
  readonly verdict: Verdict;
  /** Why it failed, or what the client cannot do. */
  readonly detail?: string;
}

export interface Selection {
  readonly areas: readonly Area[];
  readonly columnsOf: (area: Area) => readonly Column[];
}

/** Areas that need a platform of their own, with its configuration. Their columns run one after the other. */
const ownPlatform: Partial<Record<Area, Record<string, unknown>>> = {
  limits: { limits: { concurrentSandboxes: 1, developmentConcurrentSandboxes: 1 }, pool: { size: 0 } },
};

/** Starts everything at once; the answer is one promise per area, so that a caller can report in order. */
export function runSelection(selection: Selection, env: ClientEnvironment): Map<Area, Promise<Map<Column, AreaRun>>> {
  const slots = new Slots(Math.max(2, Math.min(4, availableParallelism())));
  const runs = new Map<Area, Promise<Map<Column, AreaRun>>>();
  for (const area of selection.areas) {
    const config = ownPlatform[area];
    runs.set(
      area,
      config === undefined
        ? together(area, selection.columnsOf(area), env, slots)
        : apart(area, selection.columnsOf(area), config, slots),
    );
  }
  return runs;
}

async function together(
  area: Area,
  wanted: readonly Column[],
  env: ClientEnvironment,
  slots: Slots,
): Promise<Map<Column, AreaRun>> {
  const done = await Promise.all(
    offered(area, wanted).map(async (column) => [column, await slots.use(() => runArea(area, column, env))] as const),
  );
  return new Map(done);
}

async function apart(
  area: Area,
  wanted: readonly Column[],
  config: Record<string, unknown>,
  slots: Slots,
): Promise<Map<Column, AreaRun>> {
  return slots.use(async () => {
    const platform = await startPlatform({ config });
    try {
      const done = new Map<Column, AreaRun>();
      for (const column of offered(area, wanted)) done.set(column, await runArea(area, column, platform.env));
      return done;
    } finally {
      await platform.stop();
    }
  });
}

/** Columns in which at least one row of the area is offered. */
function offered(area: Area, wanted: readonly Column[]): Column[] {
  return wanted.filter(
    (column) =>
      isOffered(area, column) &&
      rows.some((row) => row.area === area && exceptionFor(row, column)?.kind !== "not-offered"),
  );
}

/** One cell for every row of the area in every column that was run or is not offered. */
export function judge(area: Area, wanted: readonly Column[], runs: ReadonlyMap<Column, AreaRun>): Cell[] {
  return rows
    .filter((row) => row.area === area)
    .flatMap((row) =>
      wanted.filter((column) => isOffered(area, column)).map((column) => judgeCell(row, column, runs.get(column))),
    );
}

function judgeCell(row: Row, column: Column, run: AreaRun | undefined): Cell {
  const exception = exceptionFor(row, column);
  const results = run?.results.filter((result) => result.row === row.row) ?? [];
  if (exception?.kind === "not-offered") {
    if (results.length > 0)
      return {
        row,
        column,
        verdict: "fail",
        detail: "The table says that this is not offered, but there is a scenario.",
      };
    return { row, column, verdict: "not-offered", detail: exception.why };
  }
  const failed = results.filter((result) => result.error !== undefined);
  if (failed.length > 0) {
    return {
      row,
      column,
      verdict: "fail",
      detail: failed.map((result) => `${result.title}\n${result.error}`).join("\n\n"),
    };
  }
  if (run?.failure !== undefined)
    return { row, column, verdict: "fail", detail: `The process of this area ${run.failure}` };
  if (results.length === 0) return { row, column, verdict: "fail", detail: "No scenario showed this row." };
  const bugShown = results.some((result) => result.title.startsWith("client bug"));
  if (exception !== undefined && exception.kind === "client-bug" && !bugShown) {
    return { row, column, verdict: "fail", detail: "The table names a bug of the client, but no scenario shows it." };
  }
  if (bugShown && exception === undefined) {
    return {
      row,
      column,
      verdict: "fail",
      detail: "A scenario shows a bug of the client that the table does not name.",
    };
  }
  return exception === undefined
    ? { row, column, verdict: "pass" }
    : { row, column, verdict: exception.kind, detail: exception.why };
}

/** At most so many at a time. */
class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  constructor(count: number) {
    this.#free = count;
  }
  async use<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free--;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
