/** What builds print. Written in batches, bounded for each revision, kept as long as the revision. */
import type { BuildStep } from "@caisson/api";
import type { Logger } from "pino";
import { KeyedLock } from "../../kernel/keyed-lock.ts";
import type { BuildLogsTable, RevisionDatabase } from "../tables.ts";
import type { Watch } from "../watch.ts";
import { cutText } from "./cut-text.ts";

export interface BuildLine {
  readonly level: "info" | "error";
  readonly step: BuildStep;
  readonly message: string;
  /** Milliseconds since the epoch. Default: now. */
  readonly at?: number;
  /** Key of a timeline, of the step `deploying`. */
  readonly timeline?: string;
}

export interface BuildLogLimits {
  /** Of all messages of a revision, `rowBytes` of each row included. */
  readonly bytes: number;
  /** Of one message. */
  readonly lineBytes: number;
}

interface Open {
  /** The next number. */
  seq: number;
  bytes: number;
  full: boolean;
  readonly pending: BuildLogsTable[];
}

/** Bytes that a row takes besides its message, about. Without them, a build could print empty lines for ever. */
const rowBytes = 64;
/** Rows in one INSERT: SQLite allows 32766 parameters, a row has seven. */
const batchSize = 500;

export class BuildLogs {
  readonly #db: RevisionDatabase;
  readonly #watch: Watch;
  readonly #limits: BuildLogLimits;
  readonly #log: Logger;
  /** Of revisions that are built now. */
  readonly #open = new Map<string, Promise<Open>>();
  readonly #writing = new KeyedLock();

  constructor(options: { db: RevisionDatabase; watch: Watch; limits: BuildLogLimits; log: Logger }) {
    this.#db = options.db;
    this.#watch = options.watch;
    this.#limits = options.limits;
    this.#log = options.log;
  }

  /** Appends; readers see it at once. Never throws: a build does not fail because its output cannot be stored. */
  async append(revisionId: string, lines: readonly BuildLine[]): Promise<void> {
    try {
      const open = await this.#of(revisionId);
      for (const line of lines) this.#add(revisionId, open, line);
      await this.#flush(revisionId, open);
    } catch (error) {
      this.#log.error({ err: error, revision: revisionId }, "build logs could not be stored");
    }
  }

  /** Writes what could not be written before, and forgets the revision. To be called when its build has ended. */
  async close(revisionId: string): Promise<void> {
    await this.append(revisionId, []);
    this.#open.delete(revisionId);
  }

  /** @param after lines with larger numbers */
  async read(revisionId: string, after: number): Promise<BuildLogsTable[]> {
    return this.#db
      .selectFrom("build_logs")
      .selectAll()
      .where("revision_id", "=", revisionId)
      .where("seq", ">", after)
      .orderBy("seq")
      .limit(batchSize)
      .execute();
  }

  #add(revisionId: string, open: Open, { level, step, message, at = Date.now(), timeline }: BuildLine): void {
    if (open.full) return;
    const text = cutText(message, this.#limits.lineBytes);
    open.bytes += rowBytes + Buffer.byteLength(text);
    open.full = open.bytes > this.#limits.bytes;
    const row = { revision_id: revisionId, seq: open.seq++, at, level, step, timeline: timeline ?? null };
    const notice = `The rest of the output is not kept: it has more than ${this.#limits.bytes} bytes, the limit.`;
    open.pending.push({ ...row, message: open.full ? notice : text });
  }

  #of(revisionId: string): Promise<Open> {
    const known = this.#open.get(revisionId);
    if (known !== undefined) return known;
    const made = this.#load(revisionId);
    this.#open.set(revisionId, made);
    made.catch(() => this.#open.delete(revisionId));
    return made;
  }

  async #load(revisionId: string): Promise<Open> {
    const { seq, bytes } = await this.#db
      .selectFrom("build_logs")
      .select((eb) => [eb.fn.max("seq").as("seq"), eb.fn.sum(eb.fn<number>("octet_length", ["message"])).as("bytes")])
      .where("revision_id", "=", revisionId)
      .executeTakeFirstOrThrow();
    // Numbers have no gaps: the last one is the number of rows.
    const rows = seq ?? 0;
    const stored = Number(bytes ?? 0) + rows * rowBytes;
    return { seq: rows + 1, bytes: stored, full: stored > this.#limits.bytes, pending: [] };
  }

  /** One at a time: lines become visible in the order of their numbers. */
  #flush(revisionId: string, open: Open): Promise<void> {
    return this.#writing.run(revisionId, async () => {
      while (open.pending.length > 0) {
        const batch = open.pending.slice(0, batchSize);
        await this.#db
          .insertInto("build_logs")
          .values(batch)
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        open.pending.splice(0, batch.length);
        this.#watch.notify(revisionId);
      }
    });
  }
}
