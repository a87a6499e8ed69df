/** Errors of Node's parser (`clientError`). */

export interface ParserRefusal {
  readonly status: 400 | 408 | 431;
  readonly message: string;
}

/** @returns the answer for the client; undefined when it has disconnected and needs none */
export function parserRefusal({ code }: NodeJS.ErrnoException): ParserRefusal | undefined {
  if (code === "ECONNRESET") return undefined;
  if (code === "HPE_HEADER_OVERFLOW")
    return { status: 431, message: "The header fields of the request are too long (HPE_HEADER_OVERFLOW)." };
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return { status: 408, message: "The request did not arrive in time (ERR_HTTP_REQUEST_TIMEOUT)." };
  return { status: 400, message: `The request is not valid HTTP/1.1 (${code ?? "unknown error"}).` };
}
