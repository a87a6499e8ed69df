/** Checks for requests that Node's parser accepts and that another parser may read in another way (request smuggling). */
import type { HeaderList } from "./fields.ts";

/** @returns what is wrong, as a sentence for the client; undefined when the end of the request is clear */
export function framingFault(headers: HeaderList, httpVersion: string): string | undefined {
  const values = (wanted: string): string[] => headers.filter(([name]) => name === wanted).map(([, value]) => value);
  const [lengths, encodings] = [values("content-length"), values("transfer-encoding")];
  if (lengths.length > 1 || lengths.some((value) => !/^[0-9]{1,15}$/.test(value)))
    return "The request has an ambiguous Content-Length. Send one decimal number.";
  if (encodings.length > 1 || encodings.some((value) => value.toLowerCase() !== "chunked"))
    return "The request has an unsupported Transfer-Encoding. Only `chunked` is supported.";
  if (lengths.length > 0 && encodings.length > 0)
    return "The request has both Content-Length and Transfer-Encoding. Send only one of them.";
  if (encodings.length > 0 && httpVersion !== "1.1")
    return "The request has a Transfer-Encoding, which needs HTTP/1.1.";
  if (!httpVersion.startsWith("1.")) return `HTTP/${httpVersion} is not supported here. Use HTTP/1.1.`;
  return undefined;
}

/** The same for a request that begins a WebSocket (RFC 6455 4.1). */
export function upgradeFault(headers: HeaderList, method: string): string | undefined {
  const hasBody = headers.some(([name]) => name === "content-length" || name === "transfer-encoding");
  return method !== "GET" || hasBody ? "A WebSocket must begin with a GET request without a body." : undefined;
}
