/** Answers requests for a range of bytes (RFC 9110 14), as hosts of files do. */

export interface Ranged {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Buffer;
}

/** @param range the request's field; one that is not `bytes=from-` or `bytes=from-to` is ignored */
export function ranged(range: string | undefined, whole: Buffer): Ranged {
  const found = /^bytes=(\d+)-(\d*)$/.exec(range ?? "");
  const [from, to] =
    found === null ? [0, whole.length] : [Number(found[1]), found[2] ? Number(found[2]) + 1 : whole.length];
  const bytes = whole.subarray(from, to);
  const headers = { "accept-ranges": "bytes", "content-length": String(bytes.length) };
  if (found === null) return { status: 200, headers, bytes };
  const where = `bytes ${from}-${from + bytes.length - 1}/${whole.length}`;
  return { status: 206, headers: { ...headers, "content-range": where }, bytes };
}
