/** Media types whose bodies are made of messages. */
import { headerValue, type HeaderList } from "@caisson/http1";

export function isGrpc(headers: HeaderList): boolean {
  return headerValue(headers, "content-type")?.toLowerCase().startsWith("application/grpc") === true;
}

/** Messages that begin with their lengths: gRPC, gRPC-Web and Connect's streams, except those that are Base64 as a whole. */
export function hasMessages(headers: HeaderList): boolean {
  const type = headerValue(headers, "content-type")?.toLowerCase() ?? "";
  return /^application\/(grpc|connect\+)/.test(type) && !type.startsWith("application/grpc-web-text");
}
