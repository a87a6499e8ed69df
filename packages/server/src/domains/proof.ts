/** Looks for the DNS record that proves a domain. */
import { Resolver } from "node:dns/promises";
import { CaissonError } from "@caisson/protocol";

/** Milliseconds for one try at one name server, and tries. */
const [timeout, tries] = [3_000, 2];
/** Records that are compared. */
const mostRecords = 100;

export function recordOf(domain: string, token: string): { type: "TXT"; name: string; value: string } {
  return { type: "TXT", name: `_caisson.${domain}`, value: `caisson-domain=${token}` };
}

export class Proof {
  readonly #resolver = new Resolver({ timeout, tries });

  /** @param nameServers `address` or `address:port`; undefined: the system's */
  constructor(nameServers: readonly string[] | undefined) {
    if (nameServers !== undefined) this.#resolver.setServers([...nameServers]);
  }

  /** @throws CaissonError `invalid_state` when the record is missing, `unavailable` when no name server answers */
  async require(domain: string, token: string): Promise<void> {
    const { name, value } = recordOf(domain, token);
    const records = await this.#resolver.resolveTxt(name).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOTFOUND" || cause.code === "ENODATA") return [];
      throw new CaissonError("unavailable", `The TXT record ${name} cannot be read now (${cause.code}). Try again.`, {
        cause,
      });
    });
    if (records.slice(0, mostRecords).some((pieces) => pieces.join("") === value)) return;
    throw new CaissonError(
      "invalid_state",
      `There is no TXT record ${name} with the value ${value}. Add it, wait until it is visible, and try again.`,
    );
  }
}
