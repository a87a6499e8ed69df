/** Answers whose body cannot be searched for values, so that it must not go on. */
import { listValue, type HeaderList } from "@caisson/http1";

/** Whether the body was coded for the way, beyond being cut into chunks. Those codings are undone by nobody here. */
export function codedForTransfer(headers: HeaderList): boolean {
  return !/^(chunked)?$/i.test(listValue(headers, "transfer-encoding").trim());
}

/** Whether messages inside the body are coded (gRPC, Connect), or the body is only what differs from another (RFC 3229). */
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
 * nearly all that exist have ASCII in them as it is; UTF-16 is among the spellings of a value.
 */
const unlikeAscii =
  /^(x-|cs)?(utf(?![-_]?(8|16))|unicode-1-1-utf-7|(iso-10646-)?ucs-?4|ebcdic|scsu|bocu|hz|(ibm|cp|ccsid)[-_]?(?!0*(437|7\d\d|8[56]\d|874|9(32|36|49|50)|12\d\d|65001)\b)\d)/i;

export function hasForeignCharset(headers: HeaderList): boolean {
  const named = listValue(headers, "content-type").matchAll(/\bcharset\s*=\s*["']?([^\s"';,]*)/gi);
  return [...named].some(([, name]) => unlikeAscii.test(name!));
}
