/** @module Public addresses of ports inside sandboxes: TLS, names, and requests that are forwarded into a guest. */
export { createGateway, type GatewayOptions } from "./gateway.ts";
