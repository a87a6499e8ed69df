/** Why the gateway does not pass a request on. */
export interface Refusal {
  readonly status: number;
  /** Stable, for programs. */
  readonly rule: string;
  /** For people. */
  readonly message: string;
}
