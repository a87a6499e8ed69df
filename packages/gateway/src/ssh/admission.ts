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
  readonly #all = new AddressShares(sshLimits.logins);
  readonly #rate = new AddressRate(sshLimits.failuresPerAddress.perSecond, sshLimits.failuresPerAddress.burst);
  readonly #rateOfAll = new AddressRate(sshLimits.failures.perSecond, sshLimits.failures.burst);

  /** @returns undefined: too many of this address, or of all */
  admit(address: string): Admitted | undefined {
    const giveBack = this.#shares.take(address);
    if (giveBack === undefined) return undefined;
    const giveBackAll = this.#all.take(everybody);
    if (giveBackAll === undefined || !this.#rate.take(address)) {
      giveBack();
      giveBackAll?.();
      return undefined;
    }
    if (!this.#rateOfAll.take(everybody)) {
      this.#rate.giveBack(address);
      giveBack();
      giveBackAll();
      return undefined;
    }
    const closed = () => {
      giveBack();
      giveBackAll();
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
