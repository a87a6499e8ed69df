/** One connection that the guest asks for: the pipeline from its name to its bytes. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { serveHttp2 } from "../intercept/http2-server.ts";
import { PlainSocket } from "../intercept/plain-socket.ts";
import { canonicalHost, formatHostAndPort, parseHostAndPort, type Host } from "../policy/canonical-host.ts";
import { dialSecure } from "../replay/connect.ts";
import { toFailure } from "../replay/failure.ts";
import { dial } from "../resolve/dial.ts";
import type { Target } from "../resolve/resolver.ts";
import type { ClientHello } from "../sniff/client-hello.ts";
import { firstBytesOf, type FirstBytes } from "../sniff/first-bytes-of.ts";
import { relay } from "../tunnel/relay.ts";
import { connectionRecord, type ConnectionRecord } from "./connection-record.ts";
import type { Sandbox } from "./sandbox.ts";

/** Milliseconds. */
const waits = { serverFirst: 300, firstBytes: 30_000 } as const;
/** On these the client always speaks first. */
const clientFirstPorts = new Set([80, 443]);

interface Connection {
  readonly sandbox: Sandbox;
  readonly host: Host;
  readonly port: number;
  readonly target: Target;
  readonly record: ConnectionRecord;
  /** Whether the bytes have to be understood: a secret may go there, or only some hosts are allowed. */
  readonly reads: boolean;
}

/** Thrown to end a connection for a reason that the audit should know. */
class Refused extends Error {
  readonly rule: string;
  constructor(rule: string, message: string) {
    super(message);
    this.rule = rule;
  }
}

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
    await speak(connection, stream);
    count(connection, stream);
  } catch (error) {
    if (error instanceof Refused) record.done("refused", error.rule, error.message);
    else {
      const failure = toFailure(error, authority);
      record.done("failed", failure.rule, failure.message);
    }
    cut(stream, constants.NGHTTP2_CONNECT_ERROR);
  }
}

/** After whoever reads the stream has begun to; a listener for data any earlier would let bytes pass unread. */
function count({ sandbox, host, record }: Connection, stream: ServerHttp2Stream): void {
  stream.on("data", (chunk: Buffer) => {
    record.bytesOut += chunk.length;
    if (sandbox.spend(host, chunk.length)) return;
    record.done("refused", "byte-budget", `The byte budget for ${host.text} is used up.`);
    cut(stream, constants.NGHTTP2_CONNECT_ERROR);
  });
}

/** What is inside TLS that we ended, or nothing. */
interface Inside {
  readonly alpn: string | undefined;
}

async function speak(connection: Connection, socket: Duplex, inside?: Inside): Promise<void> {
  // What was agreed on in the handshake need not be guessed.
  if (inside?.alpn === "h2") return await proceed(connection, socket, { kind: "http2" }, inside);
  const serverMayBegin = !clientFirstPorts.has(connection.port);
  const first = await firstBytesOf(socket, {
    patience: waits.firstBytes,
    ...(serverMayBegin && { silence: waits.serverFirst }),
  });
  if (first.kind !== "silent") return await proceed(connection, socket, first, inside);
  const upstream = await openUpstream(connection, inside);
  await serverFirst(connection, socket, upstream, inside);
}

async function proceed(
  connection: Connection,
  socket: Duplex,
  first: FirstBytes,
  inside: Inside | undefined,
): Promise<void> {
  const { sandbox, record, reads } = connection;
  const conversation = {
    principal: sandbox,
    connection: record.id,
    scheme: inside === undefined ? ("http" as const) : ("https" as const),
    host: connection.host,
    port: connection.port,
  };
  switch (first.kind) {
    case "ended":
      socket.destroy();
      return;
    case "slow":
      if (reads) throw new Refused("unclear-protocol", "The first bytes did not tell in time what is spoken.");
      return tunnel(connection, socket, await openUpstream(connection, inside));
    case "socks":
      if (sandbox.policy.restricted)
        throw new Refused("proxy-protocol", "SOCKS would lead on to a host that nobody has judged.");
      return tunnel(connection, socket, await openUpstream(connection, inside));
    case "malformed":
      if (reads) throw new Refused("malformed-hello", first.detail);
      return tunnel(connection, socket, await openUpstream(connection, inside));
    case "tls":
      if (inside !== undefined) {
        if (reads && sandbox.policy.restricted) throw new Refused("nested-tls", "TLS inside TLS cannot be judged.");
        return tunnel(connection, socket, await openUpstream(connection, inside));
      }
      return await speakTls(connection, socket, first.hello);
    case "http1":
      if (inside === undefined) record.protocol = "http/1.1";
      sandbox.shared.http1.serve(inside === undefined ? new PlainSocket(socket) : socket, conversation);
      return;
    case "http2":
      if (inside === undefined) record.protocol = "h2";
      serveHttp2(socket, conversation);
      return;
    default:
      return tunnel(connection, socket, await openUpstream(connection, inside));
  }
}

async function speakTls(connection: Connection, socket: Duplex, hello: ClientHello): Promise<void> {
  const { sandbox, host, record, reads } = connection;
  record.protocol = "tls";
  checkServerName(connection, hello);
  if (!reads) return tunnel(connection, socket, await openUpstream(connection, undefined));
  const tls = await sandbox.terminator.terminate(socket, host.text, hello.alpn).catch((error: unknown) => {
    throw new Refused(
      "tls-with-guest",
      `The TLS handshake with the program in the sandbox failed: ${(error as Error).message}`,
    );
  });
  tls.on("error", () => socket.destroy());
  tls.on("close", () => socket.destroy());
  // OpenSSL's reading of the name must be the same as ours.
  const name = (tls as { servername?: string | false | null }).servername;
  if (typeof name === "string" && name !== "" && canonicalHost(name)?.text !== host.text)
    throw new Refused("sni-mismatch", "Two readings of the server name differ.");
  const alpn = tls.alpnProtocol === false || tls.alpnProtocol === null ? undefined : tls.alpnProtocol;
  await speak(connection, tls, { alpn });
}

function checkServerName({ sandbox, host, reads }: Connection, hello: ClientHello): void {
  if (hello.serverName === undefined) {
    if (host.kind === "name" && reads)
      throw new Refused("sni-missing", `TLS for ${host.text} does not name the host (SNI).`);
    return;
  }
  const named = canonicalHost(hello.serverName);
  if (named !== undefined && named.text === host.text) return;
  // Whoever may reach every address may also call it by any name.
  if (host.kind === "ip" && !sandbox.policy.restricted && named !== undefined) return;
  throw new Refused(
    "sni-mismatch",
    `The connection is for ${host.text}, but TLS names ${JSON.stringify(hello.serverName.slice(0, 253))}.`,
  );
}

async function openUpstream(
  { sandbox, host, target, record }: Connection,
  inside: Inside | undefined,
): Promise<Duplex> {
  const { dialing } = sandbox.shared;
  const alpn = inside?.alpn === undefined ? [] : [inside.alpn];
  const { socket, address } =
    inside === undefined
      ? await dial(target, dialing)
      : await dialSecure(host.text, target, { ...dialing, alpn, sessions: new Map() });
  record.address = address;
  return socket;
}

function tunnel(connection: Connection, guest: Duplex, upstream: Duplex): void {
  const { record, sandbox } = connection;
  if (record.protocol === "unknown") record.protocol = "tcp";
  relay({
    guest,
    upstream,
    redactor: sandbox.redactor,
    onBytesIn: (bytes) => (record.bytesIn += bytes),
    onEnd: () => record.done("allowed", "allowed"),
  });
}

/** The server begins; what the guest then says is still looked at before it goes on. */
async function serverFirst(
  connection: Connection,
  guest: Duplex,
  upstream: Duplex,
  inside: Inside | undefined,
): Promise<void> {
  const early: Buffer[] = [];
  let spoke = false;
  const { redactor } = connection.sandbox;
  const rewriter = redactor.stream({ keepLength: true });
  const pass = (chunk: Buffer): void => {
    spoke = true;
    connection.record.bytesIn += chunk.length;
    for (const piece of redactor.active ? rewriter.push(chunk) : [chunk]) early.push(piece);
    if (redactor.active) setTimeout(() => rewriter.idle().forEach((piece) => guest.write(piece)), 25);
    for (const piece of early.splice(0)) if (!guest.write(piece)) upstream.pause();
  };
  const resume = (): void => void upstream.resume();
  const lost = (): void => void guest.destroy();
  upstream.on("data", pass).once("close", lost).on("error", lost);
  guest.on("drain", resume);
  const first = await firstBytesOf(guest, { patience: 2 ** 31 - 1 });
  upstream.off("data", pass).off("close", lost);
  guest.off("drain", resume);
  for (const piece of rewriter.end()) guest.write(piece);
  if (first.kind === "other") return tunnel(connection, guest, upstream);
  if (first.kind === "ended") {
    upstream.destroy();
    guest.destroy();
    return;
  }
  if (spoke) {
    if (!connection.reads) return tunnel(connection, guest, upstream);
    upstream.destroy();
    throw new Refused("unclear-protocol", "HTTP or TLS began after the server had spoken.");
  }
  upstream.destroy();
  await proceed(connection, guest, first, inside);
}
