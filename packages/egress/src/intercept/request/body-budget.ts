/** Room for bodies that are read whole before they are sent: each sandbox has so much for all of its requests together. */
import type { Principal } from "../model/http-connection.ts";
import { RequestRefused } from "../model/outcome.ts";

/** Bytes at once: a body of the longest that is only searched for each request that may be under way, or 32 of the longest at all. */
const room = 32 * 2 ** 20;

/** Bytes taken, by sandbox. */
const taken = new WeakMap<Principal, number>();

/** The part that one request has of it, and its place among the requests under way. */
export class BodyBudget {
  readonly #principal: Principal;
  readonly #leave: (() => void) | undefined;
  #bytes = 0;

  /** @param leave gives the place back */
  constructor(principal: Principal, leave?: () => void) {
    this.#principal = principal;
    this.#leave = leave;
  }

  /** @throws RequestRefused when there is no room for so many bytes more */
  take(bytes: number): void {
    const sum = (taken.get(this.#principal) ?? 0) + bytes;
    // Sent on in parts instead, the same request would have a length at one time and none at another, and some services refuse the
    // latter; or a refusal in its middle would leave half of it at the host.
    if (sum > room)
      throw new RequestRefused(
        503,
        "too-many-requests",
        "The bodies of the sandbox's requests take too much room; wait for some to end.",
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
