/** @module Public addresses of ports inside sandboxes: TLS, names, and requests written anew towards the guest. */
export { createGateway, type GatewayOptions } from "./gateway.ts";
