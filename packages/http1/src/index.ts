/**
 * @module A strict HTTP/1.1 edge. Both proxies use it: egress (requests from sandboxes) and the gateway (requests into sandboxes). It sets
 * up Node's server, checks what Node's parser accepts, and writes answers where Node has no response object.
 */
export { endToEnd, headerList, headerValue, isWebSocketUpgrade, listValue, type HeaderList } from "./fields.ts";
export { framingFault, upgradeFault } from "./framing.ts";
export { parserRefusal, type ParserRefusal } from "./parser-errors.ts";
export { PendingAnswers } from "./pending-answers.ts";
export { strictServerOptions, type ServerLimits } from "./server-options.ts";
export { answerOnSocket, endSoon, switchToWebSocket } from "./write.ts";
