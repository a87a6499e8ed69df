/** @module Ways into sandboxes from outside: HTTPS for exposed ports, and SSH. */
export { createGateway, type GatewayOptions } from "./gateway.ts";
export { createSshGateway, type SshGatewayOptions } from "./ssh/gateway.ts";
