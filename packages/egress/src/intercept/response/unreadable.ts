/** Responses whose body cannot be searched for secrets, so that it must not be forwarded. */
import { listValue, type HeaderList } from "@caisson/http1";

/** Whether the body has a Transfer-Encoding other than chunked. Nobody here decodes those. */
export function hasTransferEncoding(headers: HeaderList): boolean {
  return !/^(chunked)?$/i.test(listValue(headers, "transfer-encoding").trim());
}

/** Whether the host serves a stored object, in whose length nothing can be read that a request has put there. */
export function isStored(headers: HeaderList): boolean {
  return /\bbytes\b/i.test(listValue(headers, "accept-ranges"));
}

/** Whether messages inside the body are compressed (gRPC, Connect), or the body is only a difference (RFC 3229). */
export function hidesMessages(headers: HeaderList): boolean {
  return ["grpc-encoding", "connect-content-encoding", "im"].some(
    (name) => !/^(identity)?$/i.test(listValue(headers, name).trim()),
  );
}

/**
 * Whether the body is a part of an answer, which may hold a part of a value. No request asks for one by `Range`, but hosts have other ways
 * to be asked. Parts in another unit than bytes are lists of whole things (`items 0-9/90`, PostgREST's `0-9/90`), and 416 has no part.
 */
export function isPart(status: number, headers: HeaderList): boolean {
  const range = listValue(headers, "content-range").trim();
  return (
    (status === 206 && range === "") ||
    (status !== 416 && /\bbytes\b/i.test(range)) ||
    /\bmultipart\/(x-)?byteranges\b/i.test(listValue(headers, "content-type"))
  );
}

/**
 * Character sets in which a value looks unlike itself: UTF in other units than 8 and 16 bits, the compressions of Unicode, HZ, and code
 * pages that are not those of DOS and Windows (EBCDIC). The list is closed, since hosts write whatever they like after `charset=`, and
 * nearly all that exist contain ASCII unchanged; UTF-16 is among the encoded forms of a value.
 */
const unlikeAscii =
  /^(x-|cs)?(utf(?![-_]?(8|16))|unicode-1-1-utf-7|(iso-10646-)?ucs-?4|ebcdic|scsu|bocu|hz|(ibm|cp|ccsid)[-_]?(?!0*(437|7\d\d|8[56]\d|874|9(32|36|49|50)|12\d\d|65001)\b)\d)/i;

export function hasForeignCharset(headers: HeaderList): boolean {
  const named = listValue(headers, "content-type").matchAll(/\bcharset\s*=\s*["']?([^\s"';,]*)/gi);
  return [...named].some(([, name]) => unlikeAscii.test(name!));
}
