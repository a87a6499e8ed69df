/** A connection that the guest asks for: from its name to an open stream, or to a reason why not. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { formatHostAndPort, parseHostAndPort } from "../policy/canonical-host.ts";
import { toFailure } from "../replay/failure.ts";
import { connectionRecord } from "./connection-record.ts";
import { Refused, type Connection } from "./granted.ts";
import type { Sandbox } from "./sandbox.ts";
import { speak } from "./speak.ts";

/** Closes from our side. Node tells of that as `aborted` too, and destroying the stream then would keep the reset from going out. */
function cut(stream: ServerHttp2Stream, code: number): void {
  stream.removeAllListeners("aborted");
  stream.close(code);
}

/** Never rejects. */
export async function acceptConnection(
  sandbox: Sandbox,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  stream.on("error", () => {});
  // A guest that resets without an error code leaves nothing to wait for either.
  stream.on("aborted", () => stream.destroy());
  const authority = headers[":authority"] ?? "";
  const asked = parseHostAndPort(authority);
  const record = connectionRecord((event) => sandbox.record(event), asked?.host.text ?? authority, asked?.port ?? 0);
  const answer = (status: 403 | 502, verdict: "refused" | "failed", rule: string, message: string): void => {
    record.done(verdict, rule, message);
    if (stream.destroyed || stream.headersSent) return;
    stream.respond(
      { ":status": status, "caisson-reason": `${rule}: ${message}`.replace(/[^\x20-\x7e]/g, "?") },
      { endStream: true },
    );
    cut(stream, constants.NGHTTP2_NO_ERROR);
  };
  try {
    if (headers[":method"] !== "CONNECT" || asked === undefined || asked.port === undefined) {
      return answer(403, "refused", "malformed-target", "The connection does not name a host and a port.");
    }
    const { host } = asked;
    const { port } = asked;
    if (!sandbox.policy.allows(host, port))
      return answer(
        403,
        "refused",
        "host-not-allowed",
        `The network policy of this sandbox does not allow ${formatHostAndPort(host, port)}.`,
      );
    if (!sandbox.spend(host, 0))
      return answer(403, "refused", "byte-budget", `The byte budget for ${host.text} is used up.`);
    const resolution = await sandbox.resolve(host, port);
    if (!resolution.ok) {
      const internal = resolution.rule === "internal-address";
      return answer(internal ? 403 : 502, internal ? "refused" : "failed", resolution.rule, resolution.detail);
    }
    const reads = sandbox.policy.restricted || sandbox.vault.concerns(host, port);
    if (stream.destroyed) return record.done("allowed", "guest-left");
    stream.respond({ ":status": 200 });
    stream.on("close", () => record.done("allowed", "allowed"));
    const connection: Connection = { sandbox, host, port, target: resolution.target, record, reads };
    count(connection, stream);
    await speak(connection, stream);
  } catch (error) {
    if (error instanceof Refused) record.done("refused", error.rule, error.message);
    else {
      const failure = toFailure(error, authority);
      record.done("failed", failure.rule, failure.message);
    }
    cut(stream, constants.NGHTTP2_CONNECT_ERROR);
  }
}

/**
 * Counts bytes where they arrive, so that each counts once, also those that were looked at and given back, and nobody's
 * reading is disturbed. What goes beyond the budget is not passed on.
 */
function count({ sandbox, host, record }: Connection, stream: ServerHttp2Stream): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (chunk === null) return push(chunk);
    record.bytesOut += chunk.length;
    if (sandbox.spend(host, chunk.length)) return push(chunk, encoding);
    record.done("refused", "byte-budget", `The byte budget for ${host.text} is used up.`);
    setImmediate(cut, stream, constants.NGHTTP2_CONNECT_ERROR);
    return false;
  };
}
