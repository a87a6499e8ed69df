/** What deployed code prints: written as it arrives, in batches, bounded for each app and organisation. */
import { logLevels, type LogLevel } from "@caisson/api";
import type { Logger } from "pino";
import { randomText } from "../../kernel/random-text.ts";
import type { RevisionDatabase, RuntimeLogsTable } from "../tables.ts";
import type { Watch } from "../watch.ts";
import { cutText } from "./cut-text.ts";

export interface RuntimeLine {
  readonly orgId: string;
  readonly appId: string;
  readonly revisionId?: string | undefined;
  /** Milliseconds since the epoch. Default: now. */
  readonly at?: number | undefined;
  readonly level: LogLevel;
  readonly message: string;
  readonly region?: string | undefined;
  readonly traceId?: string | undefined;
  readonly spanId?: string | undefined;
}

export interface RuntimeLogLimits {
  /** Bytes of one message. */
  readonly lineBytes: number;
  /** Of one app. */
  readonly linesPerMinute: number;
}

/** Lines that may wait for the database, and bytes that they may take, about: when it is slow, they fill no memory. */
const maxPending = 20_000;
const maxPendingBytes = 32 * 2 ** 20;
/** Rows in one INSERT: SQLite allows 32766 parameters, a row has ten. */
const batchSize = 500;
/** Milliseconds until a failed write is tried again. */
const pause = 2_000;
const minute = 60_000;

interface Window {
  readonly ends: number;
  lines: number;
  dropped: number;
  readonly last: RuntimeLine;
}

export class RuntimeLogs {
  readonly #db: RevisionDatabase;
  readonly #watch: Watch;
  readonly #limits: RuntimeLogLimits;
  readonly #log: Logger;
  readonly #pending: RuntimeLogsTable[] = [];
  #pendingBytes = 0;
  /** By app. */
  readonly #windows = new Map<string, Window>();
  /** Lines that were ever pending, and how many of them no longer are. */
  #added = 0;
  #written = 0;
  #writing: Promise<void> | undefined;
  #tryAgain = 0;

  constructor(options: { db: RevisionDatabase; watch: Watch; limits: RuntimeLogLimits; log: Logger }) {
    this.#db = options.db;
    this.#watch = options.watch;
    this.#limits = options.limits;
    this.#log = options.log;
  }

  /** Takes lines at once and writes them soon. */
  append(lines: readonly RuntimeLine[]): void {
    for (const line of lines) if (this.#admit(line)) this.#add(line);
    this.#write();
  }

  /** Writes everything that was appended before. @throws what the database throws; then nothing is lost yet */
  async flush(): Promise<void> {
    const last = this.#added;
    while (this.#written < last) await (this.#writing ?? this.#begin());
  }

  /** Writes everything, and how many lines were dropped. @throws what the database throws */
  close(): Promise<void> {
    this.summarise({ all: true });
    return this.flush();
  }

  /** Logs how many lines were dropped in the minutes that are over, and tries again what failed. To be called regularly. */
  summarise({ all = false }: { readonly all?: boolean } = {}): void {
    const now = performance.now();
    const { linesPerMinute } = this.#limits;
    for (const [appId, { ends, lines, dropped, last }] of this.#windows) {
      if (!all && ends > now) continue;
      this.#windows.delete(appId);
      if (dropped === 0) continue;
      const why =
        lines < linesPerMinute
          ? "the server could not store them"
          : `an app can log ${linesPerMinute} lines in a minute`;
      const message = `${dropped} lines were not kept: ${why}.`;
      this.#add({ orgId: last.orgId, appId, revisionId: last.revisionId, level: "warn", message });
    }
    this.#write();
  }

  #admit(line: RuntimeLine): boolean {
    let window = this.#windows.get(line.appId);
    if (window === undefined) {
      window = { ends: performance.now() + minute, lines: 0, dropped: 0, last: line };
      this.#windows.set(line.appId, window);
    }
    const room = this.#pending.length < maxPending && this.#pendingBytes < maxPendingBytes;
    if (window.lines < this.#limits.linesPerMinute && room) {
      window.lines++;
      return true;
    }
    window.dropped++;
    return false;
  }

  #add({ orgId, appId, revisionId, at = Date.now(), level, message, region, traceId, spanId }: RuntimeLine): void {
    this.#added++;
    const row: RuntimeLogsTable = {
      id: arrivalId(),
      org_id: orgId,
      app_id: appId,
      revision_id: revisionId ?? null,
      at,
      level: logLevels.indexOf(level),
      message: cutText(message, this.#limits.lineBytes),
      region: region ?? null,
      trace_id: traceId ?? null,
      span_id: spanId ?? null,
    };
    this.#pending.push(row);
    this.#pendingBytes += bytesOf(row);
  }

  #write(): void {
    if (this.#writing !== undefined || this.#pending.length === 0 || this.#tryAgain > performance.now()) return;
    this.#begin().catch((error: unknown) => {
      this.#tryAgain = performance.now() + pause;
      this.#log.error({ err: error }, "runtime logs could not be written; trying again");
    });
  }

  #begin(): Promise<void> {
    this.#writing = this.#writeBatch().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing.then(() => this.#write());
  }

  async #writeBatch(): Promise<void> {
    const batch = this.#pending.slice(0, batchSize);
    const minutes = new Map<string, { org_id: string; minute: number; bytes: number }>();
    for (const row of batch) {
      const { org_id, id } = row;
      const at = Math.floor(timeOf(id) / minute);
      const entry = minutes.get(`${org_id} ${at}`) ?? { org_id, minute: at, bytes: 0 };
      entry.bytes += bytesOf(row);
      minutes.set(`${org_id} ${at}`, entry);
    }
    await this.#db.transaction().execute(async (trx) => {
      await trx
        .insertInto("runtime_logs")
        .values(batch)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      for (const entry of minutes.values())
        await trx
          .insertInto("runtime_log_minutes")
          .values(entry)
          .onConflict((conflict) =>
            conflict
              .columns(["org_id", "minute"])
              .doUpdateSet((eb) => ({ bytes: eb("runtime_log_minutes.bytes", "+", entry.bytes) })),
          )
          .execute();
    });
    this.#pending.splice(0, batch.length);
    for (const row of batch) this.#pendingBytes -= bytesOf(row);
    this.#written += batch.length;
    for (const appId of new Set(batch.map((row) => row.app_id))) this.#watch.notify(logKey(appId));
  }
}

/** Bytes that a row takes besides its message, about. */
const rowBytes = 160;

function bytesOf({ message }: RuntimeLogsTable): number {
  return rowBytes + Buffer.byteLength(message);
}

/** Under this key, `Watch` has news of the logs of an app. */
export function logKey(appId: string): string {
  return `logs of ${appId}`;
}

let sequence = 0;
let latest = 0;

/** Sorts by the time of arrival, and in this process by its order, also when the clock is set back. */
export function arrivalId(): string {
  sequence = (sequence + 1) % 1_000_000_000;
  latest = Math.max(latest, Date.now());
  return `${firstArrivalId(latest)}-${String(sequence).padStart(9, "0")}-${randomText(6)}`;
}

/** Sorts before everything that arrived in this millisecond or later, and after what arrived before. */
export function firstArrivalId(at: number): string {
  return String(at).padStart(14, "0");
}

function timeOf(arrival: string): number {
  return Number(arrival.slice(0, 14));
}
