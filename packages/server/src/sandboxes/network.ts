/** The network of a sandbox as its row has it. */
import type { SandboxNetwork } from "@caisson/api";
import type { EgressPolicy } from "@caisson/protocol";
import type { SandboxRow } from "./store.ts";

/** @param allow patterns; undefined: unrestricted */
export function policyOf(allow: readonly string[] | undefined, network: SandboxNetwork): EgressPolicy {
  const { passThrough, authorities } = network;
  return {
    ...(allow !== undefined && { allow }),
    ...(passThrough != null && passThrough.length > 0 && { passThrough }),
    ...(authorities != null && { authorities }),
  };
}

export function networkColumn(network: SandboxNetwork): string | null {
  return network.passThrough == null && network.authorities == null ? null : JSON.stringify(network);
}

/** @throws Error when the row is damaged */
export function policyOfRow({ allow_net, network }: Pick<SandboxRow, "allow_net" | "network">): EgressPolicy {
  return policyOf(
    allow_net === null ? undefined : (JSON.parse(allow_net) as string[]),
    network === null ? {} : (JSON.parse(network) as SandboxNetwork),
  );
}
