/**
 * Tokens that the database confirmed a moment ago, for the time in which it does not answer: an organisation must then still be able to
 * end its sandboxes. A token that is revoked or expires during an outage is accepted for at most `validMs`.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { toCaissonError } from "@caisson/protocol";
import type { Principal } from "../kernel/http/context.ts";

/** Milliseconds. */
const validMs = 5 * 60_000;
/** Milliseconds that the database has to answer, where there is another answer. */
const patienceMs = 1_000;
const maxTokens = 1_000;

export class RecentTokens {
  /** By hash, the oldest first. */
  readonly #known = new Map<string, { readonly principal: Principal; readonly at: number }>();

  /**
   * The answer of the database, or the last one for this token when the database does not answer.
   * @throws what `ask` throws, when nothing is known
   */
  async find(hash: string, ask: () => Promise<Principal | undefined>): Promise<Principal | undefined> {
    const asked = ask().then((principal) => {
      this.#remember(hash, principal);
      return principal;
    });
    const known = this.#known.get(hash);
    if (known === undefined || performance.now() - known.at > validMs) return asked;
    const patience = new AbortController();
    const late = sleep(patienceMs, known.principal, { signal: patience.signal });
    // Only one of the two is waited for.
    late.catch(() => {});
    try {
      return await Promise.race([asked, late]);
    } catch (error) {
      if (toCaissonError(error).code === "unavailable") return known.principal;
      throw error;
    } finally {
      patience.abort();
    }
  }

  #remember(hash: string, principal: Principal | undefined): void {
    this.#known.delete(hash);
    if (principal === undefined) return;
    this.#known.set(hash, { principal, at: performance.now() });
    const [oldest] = this.#known.keys();
    if (this.#known.size > maxTokens && oldest !== undefined) this.#known.delete(oldest);
  }
}
