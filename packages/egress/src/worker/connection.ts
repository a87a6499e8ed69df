/** A connection that the guest asks for: checks it, opens it, or refuses it with a reason. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { formatHostAndPort, parseHostAndPort } from "@caisson/policy";
import { toFailure } from "../upstream/failure.ts";
import { connectionRecord } from "./connection-record.ts";
import { errnoOf, type Errno } from "./errno.ts";
import { ConnectionRefused, type GuestConnection } from "./guest-connection.ts";
import type { Sandbox } from "./sandbox.ts";
import { speak } from "./speak.ts";
import { sweepAfter } from "./sweep.ts";

/**
 * Closes from our side. Node emits `aborted` for that too, and destroying the stream then would keep the reset from being sent. The data
 * that the guest has sent is discarded: a stream with unread bytes never ends, and would keep its place for as long as the session lives.
 */
function cut(stream: ServerHttp2Stream, code: number): void {
  stream.removeAllListeners("aborted");
  stream.close(code);
  stream.resume();
}

/** Never rejects. */
export async function acceptConnection(
  sandbox: Sandbox,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  stream.on("error", () => {});
  // Node emits only this for a guest that resets without an error code.
  stream.on("aborted", () => stream.destroy());
  const authority = headers[":authority"] ?? "";
  const asked = parseHostAndPort(authority);
  const record = connectionRecord((event) => sandbox.record(event), asked?.host.text ?? authority, asked?.port ?? 0);
  const answer = (
    status: 403 | 502,
    verdict: "refused" | "failed",
    rule: string,
    message: string,
    errno: Errno = "ECONNREFUSED",
  ): void => {
    record.done(verdict, rule, message);
    if (stream.destroyed || stream.headersSent) return;
    stream.respond(
      {
        ":status": status,
        "caisson-errno": errno,
        "caisson-reason": `${rule}: ${message}`.replace(/[^\x20-\x7e]/g, "?"),
      },
      { endStream: true },
    );
    cut(stream, constants.NGHTTP2_NO_ERROR);
  };
  try {
    if (headers[":method"] !== "CONNECT" || asked === undefined || asked.port === undefined) {
      return answer(403, "refused", "malformed-target", "The CONNECT request has no valid `host:port`.");
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
      return answer(403, "refused", "byte-budget", `The byte budget of this sandbox for ${host.text} is used up.`);
    const left = new AbortController();
    stream.once("close", () => left.abort(new Error("The guest has disconnected")));
    const resolution = await sandbox.resolve(host, port, left.signal);
    if (!resolution.ok) {
      const internal = resolution.rule === "internal-address";
      if (internal) return answer(403, "refused", resolution.rule, resolution.detail);
      return answer(502, "failed", resolution.rule, resolution.detail, "EHOSTUNREACH");
    }
    // The program's connect() ends with the answer. It succeeds only when ours has.
    const dialled = await sandbox.connect(resolution.target, left.signal).catch((error: unknown) => {
      if (stream.destroyed) return record.done("allowed", "guest-left");
      const failure = toFailure(error, authority);
      return answer(502, "failed", failure.rule, failure.message, errnoOf(error));
    });
    if (dialled === undefined) return;
    if (stream.destroyed) dialled.release();
    else stream.once("close", dialled.release);
    record.address = dialled.address;
    const passes = sandbox.policy.passes(host, port);
    // A program trusts no authority that only its owner has named, so the proxy has to answer in its place.
    const named = sandbox.policy.authorityOf(host, port) !== undefined;
    const reads = !passes && (sandbox.policy.restricted || named || sandbox.vault.concerns(host, port));
    if (stream.destroyed) return record.done("allowed", "guest-left");
    stream.respond({ ":status": 200 });
    stream.on("close", () => record.done("allowed", "allowed"));
    const connection: GuestConnection = {
      sandbox,
      host,
      port,
      target: resolution.target,
      record,
      signal: left.signal,
      reads,
      judged: !passes && (sandbox.policy.restricted || sandbox.vault.learns(host)),
    };
    count(connection, stream);
    await speak(connection, stream);
  } catch (error) {
    if (error instanceof ConnectionRefused) {
      record.done("refused", error.rule, error.message);
      if (error.speaksTls !== undefined) return denyAccess(error.speaksTls, stream);
    } else {
      const failure = toFailure(error, authority);
      record.done("failed", failure.rule, failure.message);
    }
    cut(stream, constants.NGHTTP2_CONNECT_ERROR);
  }
}

/** A fatal `access_denied` in a record of TLS 1.2, which clients of every version understand before the ServerHello (RFC 8446 6). */
const accessDenied = Buffer.from([21, 3, 3, 0, 2, 2, 49]);
/** Milliseconds that the guest may take to read it and to close. */
const denialLinger = 5_000;

/**
 * Refuses in TLS a guest that has sent its ClientHello, as the agent does when a connection is refused: a reset would look like a
 * temporary fault. What the guest still sends is discarded.
 * @param socket `stream`, or what is inside it
 */
function denyAccess(socket: Duplex, stream: ServerHttp2Stream): void {
  const timer = setTimeout(cut, denialLinger, stream, constants.NGHTTP2_CONNECT_ERROR).unref();
  stream.once("close", () => clearTimeout(timer));
  socket.on("error", () => {});
  socket.end(accessDenied);
  socket.resume();
}

/**
 * Counts bytes at the stream itself, whatever the protocol. Each byte counts once, also those that were read to recognise the protocol
 * and put back, and no reader is disturbed. Bytes beyond the budget are not passed on.
 */
function count({ sandbox, host, record }: GuestConnection, stream: ServerHttp2Stream): void {
  const push = stream.push.bind(stream);
  stream.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
    if (chunk === null) return push(chunk);
    record.bytesOut += chunk.length;
    sweepAfter(chunk.length);
    if (sandbox.spend(host, chunk.length)) return push(chunk, encoding);
    record.done("refused", "byte-budget", `The byte budget of this sandbox for ${host.text} is used up.`);
    setImmediate(cut, stream, constants.NGHTTP2_CONNECT_ERROR);
    return false;
  };
  const write = stream.write.bind(stream) as (chunk: Buffer, ...rest: unknown[]) => boolean;
  stream.write = (chunk: Buffer, ...rest: unknown[]): boolean => {
    record.bytesIn += chunk.length;
    sweepAfter(chunk.length);
    return write(chunk, ...rest);
  };
}
