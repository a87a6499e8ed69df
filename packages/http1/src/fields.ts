/** Header fields as a list of pairs: in the order in which they came, with every line of a repeated field. */

/** Names are in lower case. Values are text in Latin-1, so that bytes above 127 go through unchanged. */
export type HeaderList = readonly (readonly [name: string, value: string])[];

/** These describe one connection, not the message (RFC 9110 7.6.1). A proxy must not forward them. */
const ofConnection = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
  "expect",
]);

/** @param raw names and values in turn, as `rawHeaders` of `node:http` and undici have them */
export function headerList(raw: readonly (string | Buffer)[]): [string, string][] {
  const list: [string, string][] = [];
  for (let index = 0; index + 1 < raw.length; index += 2)
    list.push([latin1(raw[index]!).toLowerCase(), withoutSpace(latin1(raw[index + 1]!))]);
  return list;
}

const latin1 = (value: string | Buffer): string => (typeof value === "string" ? value : value.toString("latin1"));

/**
 * Space around a value is not part of it (RFC 9110 5.5). Node's parser keeps it at the end, and some readers reject a length that ends
 * with a space. This is no regular expression, because that takes quadratic time for a value of thousands of spaces.
 */
function withoutSpace(value: string): string {
  const isSpace = (at: number): boolean => value[at] === " " || value[at] === "\t";
  let [from, to] = [0, value.length];
  while (to > from && isSpace(to - 1)) to--;
  while (from < to && isSpace(from)) from++;
  return value.slice(from, to);
}

/** The fields that a proxy forwards: without those of the connection, which `Connection` may name as well. */
export function endToEnd(headers: HeaderList): HeaderList {
  const named = new Set(
    headers
      .filter(([name]) => name === "connection")
      .flatMap(([, value]) => value.split(",").map((option) => option.trim().toLowerCase())),
  );
  return headers.filter(([name]) => !ofConnection.has(name) && !named.has(name));
}

/** The first line of a field. */
export function headerValue(headers: HeaderList, wanted: string): string | undefined {
  return headers.find(([name]) => name === wanted)?.[1];
}

/** All lines of a field that is a list, as one value (RFC 9110 5.3): the first line alone may say something else than the message. */
export function listValue(headers: HeaderList, wanted: string): string {
  return headers
    .filter(([name]) => name === wanted)
    .map(([, value]) => value)
    .join(", ");
}

/** Whether a message asks for, or agrees to, a WebSocket. It is the only upgrade that either proxy understands. */
export function isWebSocketUpgrade(headers: HeaderList): boolean {
  return headers.some(([name, value]) => name === "upgrade" && value.trim().toLowerCase() === "websocket");
}
