/**
 * @module A strict HTTP/1.1 edge. Both proxies use it: egress (requests from sandboxes) and the gateway (requests into sandboxes). It sets
 * up Node's server, checks what Node's parser accepts, and writes answers where Node has no response object. The API and the gateway
 * also use its limits for each address, and its certificates from files.
 */
export { AddressRate, AddressShares } from "./address-limits.ts";
export { openCertificateFiles, tlsOptions, type CertificateFiles } from "./certificate-files.ts";
export { Clients } from "./clients.ts";
export { divert } from "./divert.ts";
export { endToEnd, headerList, headerValue, isWebSocketUpgrade, listValue, type HeaderList } from "./fields.ts";
export { framingFault, upgradeFault } from "./framing.ts";
export { parserRefusal, type ParserRefusal } from "./parser-errors.ts";
export { PendingAnswers } from "./pending-answers.ts";
export { strictServerOptions, type ServerLimits } from "./server-options.ts";
export { answerOnSocket, endSoon, switchToWebSocket } from "./write.ts";
