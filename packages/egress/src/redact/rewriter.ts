/** Rewrites one stream of bytes. */
export interface Rewriter {
  /** The pieces that can go on now. */
  push(chunk: Buffer): Buffer[];
  /** What was held back, when no more will come. */
  end(): Buffer[];
  /** True when `idle` would give something out. */
  readonly waits: boolean;
  /** Call when the sender has paused: what may go on without more. */
  idle(): Buffer[];
}
