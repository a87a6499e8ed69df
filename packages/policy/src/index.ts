/** @module Network policy and rules of secrets: parsing, matching, and the check that both can be enforced. Pure: no I/O, no state. */
import type { EgressPolicy, SecretBinding } from "@caisson/protocol";

/**
 * Checks that policy and secrets can be enforced; fails closed.
 * @throws CaissonError `invalid_argument` with how to write it right
 */
export declare function validateEgress(policy: EgressPolicy, secrets: readonly SecretBinding[]): void;
