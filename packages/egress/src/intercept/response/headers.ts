/** Which headers of a response are forwarded, and in which form. */
import { endToEnd, type HeaderList } from "@caisson/http1";
import type { Redactor } from "../../redact/redactor.ts";

/** These describe the encoded body; they are wrong once it was decoded. */
const ofEncodedBody = new Set(["content-encoding", "content-length"]);

/**
 * Digests of the body as the upstream sent it. Clients that check them would take a redacted body for damaged, and with them a guest that
 * knows all of the body but the value could try values until one fits. An `etag` stays: it names the redacted body as well as the other,
 * and requests that must hit one version (`If-Match`) need it unchanged. Where an upstream makes it from the body it is such a digest
 * too; that finds a value of few possibilities, but no key.
 */
const ofUnredactedBody = new Set(["content-md5", "digest", "content-digest", "repr-digest"]);

/** What a proxy forwards. `host` has no meaning in a response. Alternative services are other protocols and hosts that the sandbox cannot reach. */
export function forwardable(headers: HeaderList): HeaderList {
  return endToEnd(headers).filter(([name]) => name !== "host" && name !== "alt-svc");
}

/** @param decoded whether the body was decoded (Content-Encoding) */
export function responseHeaders(headers: HeaderList, redactor: Redactor, decoded = false): HeaderList {
  const kept = forwardable(headers)
    // No request asks this host for a range.
    .filter(([name]) => !(redactor.active && name === "accept-ranges"))
    .filter(([name]) => !(decoded && ofEncodedBody.has(name)))
    .filter(([name]) => !(redactor.active && ofUnredactedBody.has(name)));
  // One search over all fields finds nothing, nearly always; a value in one of them is in the whole.
  const whole = kept.flat().join("\n");
  const named = redactor.inName(whole) ? kept.filter(([name]) => !redactor.inName(name)) : kept;
  if (redactor.text(whole) === whole) return named;
  return named.map(([name, value]) => [name, redactor.text(value)]);
}
