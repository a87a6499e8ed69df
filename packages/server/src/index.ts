/** @module The control plane: REST, JSON-RPC over WebSocket, auth, store, lifecycle. */
export { createServer } from "./server.ts";
export type { CaissonServer, ServerOptions } from "./options.ts";
export { formerUse, type FormerUse } from "./former-use.ts";
