/** Tunnels: bytes of a connection that are passed through without being parsed. */
import type { Duplex } from "node:stream";
import { looksLikeRequest } from "../sniff/request-line.ts";
import { RequestWatch } from "../sniff/request-watch.ts";
import type { Rewriter } from "../redact/rewriter.ts";
import { PlaceholderWatch } from "../secrets/placeholder-watch.ts";
import { SecretRefused } from "../secrets/substitute.ts";
import { relay } from "../tunnel/relay.ts";
import { ConnectionRefused, type GuestConnection } from "./guest-connection.ts";

/**
 * Redacts bytes that come back unparsed. Only from upstreams that a secret is for: the proxy sends it to no other, and bytes that are held
 * back until a token is complete slow a dialogue.
 */
export function tunnelRewriter({ sandbox, host }: GuestConnection): Rewriter | undefined {
  return sandbox.vault.learns(host) ? sandbox.redactor.stream("unknown") : undefined;
}

/** @param rewriter may hold bytes that came before */
export function tunnel(
  connection: GuestConnection,
  guest: Duplex,
  upstream: Duplex,
  rewriter = tunnelRewriter(connection),
): void {
  const { record, sandbox, judged } = connection;
  if (record.protocol === "unknown") record.protocol = "tcp";
  const watch = sandbox.policy.restricted && judged ? new RequestWatch() : undefined;
  const placeholders = new PlaceholderWatch(sandbox.vault);
  relay({
    guest,
    upstream,
    rewriter,
    judge: (chunk) => (watch?.suspects(chunk) === true ? unreadRequest() : placeholders.judge(chunk)),
    onEnd: (error) =>
      error instanceof ConnectionRefused || error instanceof SecretRefused
        ? record.done("refused", error.rule, error.message)
        : record.done("allowed", "allowed"),
  });
}

/**
 * For a guest that ended its side before its bytes could be recognised.
 * @returns why they must not be forwarded; undefined when they may
 */
export function faultOfCut({ sandbox, judged }: GuestConnection, sent: Buffer): Error | undefined {
  const placeholder = new PlaceholderWatch(sandbox.vault).judge(sent);
  if (placeholder !== undefined) return new ConnectionRefused(placeholder.rule, placeholder.message);
  // Python reads a request line that ends with the connection; with a URL in it that is enough to ask for another host.
  const mayBeRequest = sandbox.policy.restricted && judged && looksLikeRequest(sent.toString("latin1").trimStart());
  return mayBeRequest ? unreadRequest() : undefined;
}

const unreadRequest = (): ConnectionRefused =>
  new ConnectionRefused("unclear-protocol", "The data may be an HTTP request, but it is not valid HTTP.");
