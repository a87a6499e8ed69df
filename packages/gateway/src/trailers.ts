/** Trailer fields (RFC 9110 6.5). */
import type { OutgoingHttpHeaders } from "node:http";
import { endToEnd, type HeaderList } from "@caisson/http1";

/** Fields that say how a message is read or whom it is for come too late in a trailer (RFC 9110 6.5.1). */
const tooLate = new Set([
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "host",
  "location",
  "max-forwards",
  "set-cookie",
]);

/** @param most fields that are passed on; with more, none is */
export function passedTrailers(trailers: HeaderList, most: number): HeaderList {
  const kept = endToEnd(trailers).filter(([name]) => !tooLate.has(name) && !name.startsWith(":"));
  return kept.length > most ? [] : kept;
}

/** As `sendTrailers` of `node:http2` takes them. */
export function trailersObject(trailers: HeaderList): OutgoingHttpHeaders {
  const fields: Record<string, string[]> = Object.create(null) as Record<string, string[]>;
  for (const [name, value] of trailers) (fields[name] ??= []).push(value);
  return Object.fromEntries(
    Object.entries(fields).map(([name, values]) => [name, values.length === 1 ? values[0]! : values]),
  );
}
