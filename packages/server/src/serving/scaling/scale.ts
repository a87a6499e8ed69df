/**
 * How many instances a revision should have. Pure: time is an argument, applying the answer is elsewhere. The method is Knative's:
 * requests in flight, averaged over a stable window; when the average over a short window says that twice as many instances are needed
 * as there are, the revision panics, and until a stable window without such a burst is over it only grows.
 */

/** Milliseconds. */
export const stableWindow = 60_000;
export const panicWindow = 6_000;
/** How many times more than there are must be needed for a panic. */
const panicThreshold = 2;

export interface ScaleLimits {
  /** Requests in flight that one instance should have on average. */
  readonly target: number;
  readonly min: number;
  readonly max: number;
  /** Milliseconds without a request after which the last instance above `min` ends. */
  readonly idle: number;
}

export interface Demand {
  /** Requests in flight and waiting, on average over each window. Undefined: not known yet, so nothing changes but growth. */
  readonly stable: number | undefined;
  readonly panic: number;
  /** At this moment. */
  readonly current: number;
  /** Instances that serve or start. */
  readonly instances: number;
  /** When a request was last under way, milliseconds on the clock of `now`. */
  readonly lastRequest: number;
}

export interface ScaleState {
  /** The panic ends then. Undefined: there is none. */
  readonly panicUntil?: number | undefined;
}

export interface Decision {
  readonly desired: number;
  readonly state: ScaleState;
}

/** @param now milliseconds */
export function decide(now: number, demand: Demand, limits: ScaleLimits, state: ScaleState): Decision {
  const { stable, panic, current, instances, lastRequest } = demand;
  const { target, min, max, idle } = limits;
  // This needs no average.
  if (current === 0 && now - lastRequest >= idle) return { desired: Math.min(max, min), state: {} };
  const needed = (load: number) => Math.ceil(load / target);
  const bounded = (wanted: number) => Math.min(max, Math.max(min, wanted));
  const bursts = needed(panic) >= panicThreshold * Math.max(1, instances) && needed(panic) > instances;
  const panicUntil = bursts ? now + stableWindow : (state.panicUntil ?? 0) > now ? state.panicUntil : undefined;
  const next: ScaleState = panicUntil === undefined ? {} : { panicUntil };
  if (panicUntil !== undefined || stable === undefined)
    return {
      desired: bounded(Math.max(needed(panic), needed(stable ?? 0), current > 0 ? 1 : 0, instances)),
      state: next,
    };
  let wanted = needed(stable);
  // At most by half per decision. The last one stays until nobody has asked for anything for a while.
  if (wanted < instances) wanted = Math.max(wanted, Math.floor(instances / 2));
  if (instances > 0 || current > 0) wanted = Math.max(wanted, 1);
  return { desired: bounded(instances === 0 && current === 0 ? 0 : wanted), state: next };
}
