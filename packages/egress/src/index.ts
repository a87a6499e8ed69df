/** @module The egress proxy: decides what leaves a sandbox, puts secrets in on the way out and takes them out on the way back. */
export { createAuthority, type Authority, type Leaf } from "./authority/authority.ts";
export { createGatewayAuthority } from "./authority/sandbox-authority.ts";
export { createEgressGuard, type EgressGuardOptions, type SupervisedEgressGuard } from "./supervisor/guard.ts";
