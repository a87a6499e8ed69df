/** Who may connect, before anything is known of them but their address. What an attacker sends here costs them as much as us. */
import { AddressRate, AddressShares } from "@caisson/http1";
import { sshLimits } from "./limits.ts";

/** A connection that has not logged in yet. Its functions may be called more than once. */
export interface Admitted {
  readonly loggedIn: () => void;
  readonly closed: () => void;
}

const everybody = "0.0.0.0";

export class Admission {
  readonly #shares = new AddressShares(sshLimits.loginsPerAddress);
  readonly #rate = new AddressRate(sshLimits.failuresPerAddress.perSecond, sshLimits.failuresPerAddress.burst);
  readonly #rateOfAll = new AddressRate(sshLimits.failures.perSecond, sshLimits.failures.burst);
  /** What cuts those that are not logged in. The oldest is first. */
  readonly #waiting = new Set<() => void>();

  /**
   * When too many are not logged in, the one that has waited longest is cut: who wants to log in needs a moment, who wants to keep others
   * out needs to wait.
   * @returns undefined: too many of this address, or too fast
   */
  admit(address: string, cut: () => void): Admitted | undefined {
    const giveBack = this.#shares.take(address);
    if (giveBack === undefined) return undefined;
    if (!this.#rate.take(address)) {
      giveBack();
      return undefined;
    }
    if (!this.#rateOfAll.take(everybody)) {
      this.#rate.giveBack(address);
      giveBack();
      return undefined;
    }
    this.#waiting.add(cut);
    if (this.#waiting.size > sshLimits.logins) {
      const [oldest] = this.#waiting;
      // At once: until its socket has closed, others would cut the same one again.
      this.#waiting.delete(oldest!);
      oldest!();
    }
    const closed = () => {
      this.#waiting.delete(cut);
      giveBack();
    };
    let done = false;
    return {
      closed,
      loggedIn: () => {
        if (done) return;
        done = true;
        closed();
        this.#rate.giveBack(address);
        this.#rateOfAll.giveBack(everybody);
      },
    };
  }
}
