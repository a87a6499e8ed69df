/** Memory for bodies that are read whole before they are sent: a limit for all requests of a sandbox together. */
import type { Principal } from "../model/http-connection.ts";
import { RequestRefused } from "../model/outcome.ts";

/** Bytes: a body of the largest size that is only searched for each request that may be under way, or 32 of the largest size at all. */
const most = 32 * 2 ** 20;

/** Bytes taken, by sandbox. */
const taken = new WeakMap<Principal, number>();

/** The share of one request, and its place among the requests under way. */
export class BodyBudget {
  readonly #principal: Principal;
  readonly #leave: (() => void) | undefined;
  #bytes = 0;

  /** @param leave gives the place back */
  constructor(principal: Principal, leave?: () => void) {
    this.#principal = principal;
    this.#leave = leave;
  }

  /** @throws RequestRefused when the sandbox would have too many bytes */
  take(bytes: number): void {
    const sum = (taken.get(this.#principal) ?? 0) + bytes;
    // Sent on in parts instead, the same request would have a length at one time and none at another, and some services refuse the
    // latter; or a refusal in its middle would leave half of it at the host.
    if (sum > most)
      throw new RequestRefused(
        503,
        "too-many-requests",
        `The request bodies of this sandbox take more than ${most / 2 ** 20} MiB, the limit. Wait for some requests to end.`,
      );
    taken.set(this.#principal, sum);
    this.#bytes += bytes;
  }

  /** Gives everything back, when the request is over. */
  release(): void {
    if (this.#bytes > 0) taken.set(this.#principal, taken.get(this.#principal)! - this.#bytes);
    this.#bytes = 0;
    this.#leave?.();
  }
}
