/**
 * Shares the event loop between organisations. Whoever begins a piece of work for an organisation says so (`enter`); until the next one
 * does, or the turn of the loop ends, the time counts for that organisation, with everything that follows in promises. In one turn each
 * organisation may use a few milliseconds; what is left of its work runs in the next turn, after everybody else's. Work that cannot be
 * divided takes longer, and is paid back: its organisation waits for a multiple of it while others are at work.
 */
import { serviceKey } from "./services.ts";

/** Milliseconds that an organisation may use in one turn, at least, while others are at work. While none is, nobody counts. */
const slice = 2;
/** An organisation is at work for so long after its last piece of it, milliseconds. */
const recent = 1000;
/** What one turn takes beyond this is paid back, milliseconds. */
const overrun = 4;
/** Milliseconds to wait for each one that is paid back. Others then find the loop free four times out of five. */
const payback = 4;
/** Milliseconds that need not be paid back at once: a garbage collection falls on whoever is at work. */
const allowance = 25;
/** Milliseconds that an organisation waits at most. */
const longestWait = 250;
/**
 * Pieces of waiting work of one organisation that begin in one turn. Those that wait in a promise go on only after all were asked whether
 * there is time, so without this all of them would begin.
 */
const begunAtOnce = 8;

/** The time of one organisation. */
export interface Turn {
  /** A piece of its work begins. */
  enter(): void;
  /** Whether it may begin another piece in this turn. */
  hasTime(): boolean;
  /** Runs `work` in a later turn. It asks for time again before it goes on. */
  next(work: () => void): void;
  /** Resolves when there is time. Others may have worked until then: whoever goes on for long calls `enter` first. */
  time(): Promise<void>;
}

export const turns = serviceKey<Turns>("turns");

export class Turns {
  readonly #shares = new Map<string, Share>();
  /** Those that were at work lately. */
  readonly #active = new Set<Share>();
  #current: Share | undefined;
  /** When the current one's work began. */
  #since = 0;
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;

  of(org: string): Turn {
    let share = this.#shares.get(org);
    if (share === undefined) {
      share = new Share(this);
      this.#shares.set(org, share);
    }
    return share;
  }

  enter(share: Share): void {
    if (this.#current === share) return;
    const now = performance.now();
    // Without a turn that ends, the time since the last piece of work was mostly idle.
    if (this.#scheduled) this.#charge(now);
    this.#since = now;
    this.#current = share;
    share.worked = true;
    this.#active.add(share);
    if (this.#active.size > 1) this.#schedule();
  }

  hasTime(share: Share): boolean {
    if (this.#active.size < 2) return true;
    const now = performance.now();
    const spent = share.spent + (this.#current === share ? now - this.#since : 0);
    return spent < slice && share.mustWait(now) === 0;
  }

  #charge(now: number): void {
    if (this.#current !== undefined) this.#current.spent += now - this.#since;
    this.#since = now;
  }

  wait(share: Share): void {
    this.#active.add(share);
    this.#schedule();
  }

  /** The turn ends after what the loop has read in it, and what followed from that. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#since = performance.now();
    setImmediate(() => this.#endTurn());
  }

  #endTurn(): void {
    const now = performance.now();
    this.#charge(now);
    this.#scheduled = false;
    this.#current = undefined;
    const shared = this.#active.size > 1;
    for (const share of this.#active) {
      if (shared && share.spent > overrun) share.owe(share.spent - overrun, now);
      share.spent = 0;
      if (share.worked || share.waiting.length > 0) share.last = now;
      share.worked = false;
    }
    let wait = Number.POSITIVE_INFINITY;
    for (const share of this.#active) {
      if (share.waiting.length === 0) {
        if (now - share.last > recent) this.#active.delete(share);
        continue;
      }
      wait = Math.min(wait, this.#serve(share));
    }
    if (wait === 0) this.#schedule();
    else if (wait < Number.POSITIVE_INFINITY) this.#scheduleIn(wait);
  }

  /** @returns milliseconds until what is left of its work may go on; infinite when nothing is left */
  #serve(share: Share): number {
    const wait = this.#active.size > 1 ? share.mustWait(performance.now()) : 0;
    if (wait > 0) return wait;
    this.enter(share);
    // What they add is for the next turn.
    for (let left = Math.min(share.waiting.length, begunAtOnce); left > 0 && this.hasTime(share); left--)
      share.waiting.shift()!();
    return share.waiting.length > 0 ? 0 : Number.POSITIVE_INFINITY;
  }

  #scheduleIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#schedule(), milliseconds);
  }
}

class Share implements Turn {
  /** Milliseconds in this turn. */
  spent = 0;
  /** In this turn. */
  worked = false;
  /** The end of the last turn in which it worked. */
  last = 0;
  readonly waiting: (() => void)[] = [];
  readonly #turns: Turns;
  #owed = 0;
  #owedAt = 0;

  constructor(all: Turns) {
    this.#turns = all;
  }

  enter(): void {
    this.#turns.enter(this);
  }

  hasTime(): boolean {
    return this.#turns.hasTime(this);
  }

  next(work: () => void): void {
    this.waiting.push(work);
    this.#turns.wait(this);
  }

  async time(): Promise<void> {
    while (!this.hasTime()) await new Promise<void>((resolve) => this.next(resolve));
  }

  owe(milliseconds: number, now: number): void {
    this.#owed = Math.min(this.#owing(now) + milliseconds, allowance + longestWait / payback);
    this.#owedAt = now;
  }

  /** Milliseconds. */
  mustWait(now: number): number {
    return Math.max(0, this.#owing(now) - allowance) * payback;
  }

  #owing(now: number): number {
    return Math.max(0, this.#owed - (now - this.#owedAt) / payback);
  }
}
