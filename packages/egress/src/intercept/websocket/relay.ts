/** WebSocket after the handshake: frames are parsed and written again, so that their content can be checked and redacted. */
import type { Duplex } from "node:stream";
import { UpstreamFailure } from "../../upstream/failure.ts";
import { SecretReturned, type Redactor } from "../../redact/redactor.ts";
import type { StreamRewriter } from "../../redact/stream-rewriter.ts";
import { headerValue, type HeaderList } from "@caisson/http1";
import { planBody } from "../../secrets/body-plan.ts";
import { SecretRefused } from "../../secrets/substitute.ts";
import type { HttpConnection } from "../model/http-connection.ts";
import type { GuestReply, GuestRequest } from "../model/guest.ts";
import { explain, outcomeOf } from "../model/outcome.ts";
import { responseHeaders } from "../response/headers.ts";
import type { RequestRecord } from "../model/request-record.ts";
import { FrameError, FrameReader, opcode, writeFrame, type FramePart } from "./frames.ts";

export interface WebSocketRelay {
  readonly connection: HttpConnection;
  readonly request: GuestRequest;
  readonly reply: GuestReply;
  /** The upstream's side. */
  readonly socket: Duplex;
  readonly headers: HeaderList;
  readonly record: RequestRecord;
}

type Rewriter = Pick<StreamRewriter<unknown>, "push" | "end">;

/** Milliseconds after which a half-closed connection is cut. */
const lingering = 5_000;

export function relayWebSocket({ connection, request, reply, socket, headers, record }: WebSocketRelay): void {
  const { redactor, vault } = connection.principal;
  const { host, port, scheme } = connection;
  socket.on("error", () => {});
  if (reply.upgrade === undefined || headerValue(headers, "sec-websocket-extensions") !== undefined) {
    socket.destroy();
    const outcome = outcomeOf(
      new UpstreamFailure(
        "upstream-protocol",
        "The upstream switched to a protocol or an extension that was not requested",
      ),
    );
    explain(reply, outcome, host.text, true);
    record.done({ verdict: "failed", rule: outcome.rule, status: outcome.status, detail: outcome.message });
    return;
  }
  const guest = reply.upgrade(responseHeaders(headers, redactor));
  // The Content-Type of the request is about a body that it does not have, not about its messages.
  const withoutType = request.headers.filter(([name]) => name !== "content-type");
  const head = { ...request, headers: withoutType };
  const plan = planBody(vault, { host, port, scheme }, head, "json");
  const finish = (error?: Error): void => {
    for (const side of [guest, socket]) if (!side.destroyed) side.end();
    setTimeout(() => [guest, socket].forEach((side) => side.destroy()), lingering).unref();
    if (plan !== undefined) {
      const before = record.secrets;
      record.secrets = () => [...new Set([...before(), ...plan.used])];
    }
    if (error instanceof SecretRefused || error instanceof SecretReturned)
      record.done({ verdict: "refused", rule: error.rule, status: 101, detail: error.message });
    else if (error instanceof FrameError)
      record.done({ verdict: "refused", rule: "malformed-frame", status: 101, detail: error.message });
    else record.done({ verdict: "allowed", rule: "allowed", status: 101 });
  };
  direction({
    from: guest,
    to: socket,
    fromClient: true,
    rewriter: () => plan?.rewriter() ?? asItIs,
    count: (bytes) => (record.bytesOut += bytes),
    finish,
  });
  direction({
    from: socket,
    to: guest,
    fromClient: false,
    rewriter: fromUpstream(redactor, vault.learns(host)),
    count: (bytes) => (record.bytesIn += bytes),
    finish,
  });
}

/** Values become placeholders where the host may know one; elsewhere frames go on as they are, and a value ends the connection. */
function fromUpstream(redactor: Redactor, learns: boolean): (() => Rewriter) | undefined {
  if (!redactor.active) return undefined;
  return learns ? () => redactor.stream("text") : () => redactor.watch();
}

/** Data of the guest is parsed frame by frame in any case: after the handshake no other protocol is allowed. */
const asItIs: Rewriter = { push: (chunk) => [chunk], end: () => [] };

interface Direction {
  readonly from: Duplex;
  readonly to: Duplex;
  readonly fromClient: boolean;
  readonly rewriter: (() => Rewriter) | undefined;
  readonly count: (bytes: number) => void;
  readonly finish: (error?: Error) => void;
}

function direction({ from, to, fromClient, rewriter, count, finish }: Direction): void {
  const relay = rewriter && frameRelay(fromClient, rewriter);
  from.on("data", (chunk: Buffer) => {
    count(chunk.length);
    if (to.destroyed || to.writableEnded) return;
    try {
      const pieces = relay === undefined ? [chunk] : relay(chunk);
      if (pieces.length === 0) return;
      to.cork();
      let flows = true;
      for (const piece of pieces) flows = to.write(piece);
      to.uncork();
      if (!flows) from.pause();
    } catch (error) {
      const violation = error instanceof FrameError ? 1002 : 1008;
      const reason = Buffer.concat([
        Buffer.from([violation >> 8, violation & 255]),
        Buffer.from((error as Error).message.slice(0, 120).replace(/[^\x20-\x7e]/g, "?")),
      ]);
      // Both sides get the reason: the one that broke a rule, and the one that would otherwise wait.
      const [guest, upstream] = fromClient ? [from, to] : [to, from];
      for (const piece of writeFrame({ opcode: opcode.close, fin: true, payload: reason }, false)) guest.write(piece);
      for (const piece of writeFrame({ opcode: opcode.close, fin: true, payload: reason.subarray(0, 2) }, true))
        upstream.write(piece);
      from.removeAllListeners("data").resume();
      finish(error as Error);
    }
  });
  to.on("drain", () => from.resume());
  from.on("end", () => finish());
  from.on("close", () => finish());
}

/** Parses frames, rewrites their payload with one rewriter per message, and writes frames again. */
function frameRelay(fromClient: boolean, create: () => Rewriter): (chunk: Buffer) => Buffer[] {
  const reader = new FrameReader(fromClient);
  let message: Rewriter | undefined;
  /** Whether a frame of the message has been written. */
  let begun = false;
  const onePart = (part: FramePart): Buffer[] => {
    if (part.kind === "control") {
      const whole = create();
      // A control frame has no room to grow (RFC 6455 5.5).
      const payload = Buffer.concat([...whole.push(part.payload), ...whole.end()]).subarray(0, 125);
      return writeFrame({ opcode: part.opcode, fin: true, payload }, fromClient);
    }
    if (part.first) [message, begun] = [create(), false];
    const pieces = message!.push(part.payload);
    if (part.last) pieces.push(...message!.end());
    const payload = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
    if (payload.length === 0 && !part.last) return [];
    const frame = writeFrame(
      { opcode: begun ? opcode.continuation : part.opcode, fin: part.last, payload },
      fromClient,
    );
    begun = true;
    return frame;
  };
  return (chunk) => reader.push(chunk).flatMap(onePart);
}
