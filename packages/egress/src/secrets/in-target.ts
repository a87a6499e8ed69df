/** How a value is written into the target of a request. */

/** What a path may hold as it is (RFC 3986 3.3), and a query (3.4), here with escapes that are there already. */
const ofPath = /^[A-Za-z0-9\-._~!$&'()*+,;=:@/]*$/;
const ofQuery = /^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*$/;
/** Segments that servers take out, which would lead to another path. */
const changesPath = /\/\/|(?:^|\/)\.{1,2}(?:\/|$)/;

/**
 * In the path, and where it is a part of the query by itself (`?$SAS`), a value stands as its owner wrote it, because services compare it so
 * (`/bot$TOKEN/getMe`). Where it would break the target it is percent-encoded, and so it is as the value of a parameter.
 * @param target the place of the placeholder in it is from `start` to `end`
 */
export function inTarget(value: string, target: string, start: number, end: number): string {
  const query = target.indexOf("?");
  if (query < 0 || start < query)
    return ofPath.test(value) && !changesPath.test(value) ? value : encodeURIComponent(value);
  const alone = /[?&]/.test(target[start - 1]!) && (end === target.length || target[end] === "&");
  return alone && ofQuery.test(value) ? value : encodeURIComponent(value);
}
