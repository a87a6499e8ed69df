/**
 * How many events of a sandbox are recorded one by one. A sandbox decides how many connections it tries, so what is beyond the limit is
 * counted instead, and one event says how many there were. Each verdict has a limit of its own: a flood of refused connections hides
 * no allowed one.
 */
import type { AuditRecord } from "./store.ts";

/** Milliseconds. */
const minute = 60_000;
/** Hosts that are counted exactly: their names are held in memory. */
const mostHosts = 256;

interface Window {
  readonly orgId: string;
  /** On the clock of `performance.now`. */
  readonly ends: number;
  recorded: number;
  /** What was not recorded. */
  rest: Rest | undefined;
}

interface Rest {
  readonly first: AuditRecord;
  readonly hosts: Set<string>;
  moreHosts: boolean;
  count: number;
  bytesOut: number;
  bytesIn: number;
}

export class AuditQuota {
  readonly #perMinute: number;
  readonly #windows = new Map<string, Window>();

  /** @param perMinute events of one sandbox and verdict */
  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  /** Whether the event is recorded. Otherwise it is counted. */
  admit(orgId: string, event: AuditRecord): boolean {
    const window = this.#window(orgId, event);
    if (window.recorded >= this.#perMinute) {
      count(window, event);
      return false;
    }
    window.recorded++;
    return true;
  }

  /** Counts an event that cannot be recorded. */
  count(orgId: string, event: AuditRecord): void {
    count(this.#window(orgId, event), event);
  }

  #window(orgId: string, { sandboxId, verdict, kind }: AuditRecord): Window {
    // A flood of connections out of the sandbox hides no login into it.
    const key = `${sandboxId} ${verdict} ${kind === "ssh" ? kind : ""}`;
    const found = this.#windows.get(key);
    // One that is over waits for `takeSummaries`. It goes on until then, which is a moment.
    if (found !== undefined) return found;
    const window: Window = { orgId, ends: performance.now() + minute, recorded: 0, rest: undefined };
    this.#windows.set(key, window);
    return window;
  }

  /**
   * Events that say what was not recorded in the minutes that are over.
   * @param all also of minutes that are not over, because the server stops
   */
  takeSummaries({ all = false }: { readonly all?: boolean } = {}): { orgId: string; record: AuditRecord }[] {
    const now = performance.now();
    const summaries: { orgId: string; record: AuditRecord }[] = [];
    for (const [key, window] of this.#windows) {
      if (!all && window.ends > now) continue;
      this.#windows.delete(key);
      if (window.rest !== undefined) summaries.push({ orgId: window.orgId, record: summaryOf(window.rest) });
    }
    return summaries;
  }
}

function count(window: Window, event: AuditRecord): void {
  const rest = (window.rest ??= {
    first: event,
    hosts: new Set(),
    moreHosts: false,
    count: 0,
    bytesOut: 0,
    bytesIn: 0,
  });
  rest.count++;
  rest.bytesOut += event.bytesOut;
  rest.bytesIn += event.bytesIn;
  if (rest.hosts.size < mostHosts) rest.hosts.add(event.host);
  else rest.moreHosts ||= !rest.hosts.has(event.host);
}

function summaryOf({ first, hosts, moreHosts, count, bytesOut, bytesIn }: Rest): AuditRecord {
  const what = `${count} ${first.verdict} ${count === 1 ? "connection or request" : "connections and requests"}`;
  const where = moreHosts
    ? `more than ${mostHosts} hosts`
    : hosts.size === 1
      ? `the host ${first.host}`
      : `${hosts.size} hosts`;
  return {
    kind: "summary",
    at: first.at,
    sandboxId: first.sandboxId,
    connection: "",
    host: hosts.size === 1 && !moreHosts ? first.host : "",
    port: 0,
    protocol: "unknown",
    verdict: first.verdict,
    rule: "not-recorded",
    bytesOut,
    bytesIn,
    durationMs: Math.max(0, Date.now() - first.at),
    detail: `${what} to ${where} were not recorded one by one.`,
  };
}
