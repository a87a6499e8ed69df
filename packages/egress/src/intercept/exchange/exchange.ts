/** One request from the guest to its host and back: check, substitute, send, redact, record. */
import { formatHostAndPort } from "@caisson/policy";
import { UpstreamFailure, toFailure } from "../../upstream/failure.ts";
import { callHttp1 } from "../../upstream/http1.ts";
import { callHttp2 } from "../../upstream/http2.ts";
import type { UpstreamCall, UpstreamHandler, UpstreamRequest } from "../../upstream/request.ts";
import type { Origin } from "../../upstream/origin.ts";
import { planBody, substituteHead, type Destination } from "../../secrets/substitute.ts";
import { BodyRoom } from "../request/body-room.ts";
import { checkRequest } from "../request/check.ts";
import type { Conversation } from "../model/http-connection.ts";
import type { GuestReply, GuestRequest } from "../model/guest.ts";
import { isGrpc, requestHeaders } from "../model/headers.ts";
import { explain, outcomeOf, Refusal } from "../model/refusal.ts";
import { requestRecord } from "../model/request-record.ts";
import { prepareBody } from "../request/body.ts";
import { dropRest, leaveRest } from "../request/rest-of-body.ts";
import { ResponseRelay } from "../response/response-relay.ts";
import { relayWebSocket } from "../websocket/relay.ts";

/** Never rejects: every outcome is told to the guest and recorded. */
export async function exchange(conversation: Conversation, request: GuestRequest, reply: GuestReply): Promise<void> {
  const { principal } = conversation;
  const leave = principal.enter();
  const room = new BodyRoom(principal, leave);
  const record = requestRecord(conversation, request, room);
  let gone = false;
  const left = new AbortController();
  let abort: ((reason: Error) => void) | undefined;
  reply.onGone(() => {
    gone = true;
    left.abort(new Error("The guest went away"));
    abort?.(new Error("The guest went away"));
  });
  const settle = (error?: Error, status?: number): void => {
    if (error === undefined) {
      leaveRest(request, record);
      return record.done({ verdict: "allowed", rule: "allowed", ...(status !== undefined && { status }) });
    }
    dropRest(request);
    if (gone) return record.done({ verdict: "allowed", rule: "guest-left", ...(status !== undefined && { status }) });
    const outcome = outcomeOf(error);
    explain(reply, outcome, conversation.host.text, request.protocol !== "h2");
    record.done({ verdict: outcome.verdict, rule: outcome.rule, status: outcome.status, detail: outcome.message });
  };
  if (leave === undefined) {
    settle(new Refusal(503, "too-many-requests", "The sandbox has too many requests under way; wait for some to end."));
    return;
  }
  try {
    const prepared = await prepare(conversation, request, record, room, left.signal);
    if (gone) return settle(new Error("gone"));
    const { origin, upstream, failure } = prepared;
    const fail = (error: Error): void =>
      settle(failure() ?? asFailure(error, conversation), relay.status === 0 ? undefined : relay.status);
    const relay = new ResponseRelay(request.method, principal.redactor, reply, (error) => {
      record.bytesIn = relay.bytesIn;
      if (origin.address !== undefined) record.address = origin.address;
      if (error === undefined) settle(undefined, relay.status);
      else fail(error);
    });
    // What an upstream says may be more than Node is willing to write; that ends this exchange and nothing else.
    const guarded = (step: () => void): void => {
      try {
        step();
      } catch (error) {
        relay.fail(error as Error);
      }
    };
    const handler: UpstreamHandler = {
      head: (status, headers, ended) => guarded(() => relay.head(status, headers, ended)),
      data: (chunk) => guarded(() => relay.data(chunk)),
      end: (trailers) => guarded(() => relay.end(trailers)),
      fail: (error) => {
        if (repeats-- > 0 && !gone && relay.status === 0 && brokeOff(error))
          attempt().catch((failed: Error) => relay.fail(failed));
        else guarded(() => relay.fail(error));
      },
      upgraded: (socket, headers) =>
        guarded(() => {
          if (origin.address !== undefined) record.address = origin.address;
          relayWebSocket({ conversation, request, reply, socket, headers, record });
        }),
    };
    let repeats = isRepeatable(request) ? 1 : 0;
    const attempt = async (): Promise<void> => {
      relay.call = await send(conversation, request, origin, upstream, handler, left.signal);
      if (gone) relay.call.abort(new Error("The guest went away"));
    };
    abort = (reason) => relay.fail(reason);
    await attempt();
  } catch (error) {
    settle(asFailure(error, conversation));
  }
}

/** An upstream may close a kept connection in the moment in which it is used again (RFC 9110 9.2.2, RFC 9112 9.3.1). */
const isRepeatable = ({ method, body, protocol }: GuestRequest): boolean =>
  body === undefined && protocol !== "websocket" && ["GET", "HEAD", "OPTIONS"].includes(method);
const brokeOff = (error: Error): boolean =>
  ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE", "ERR_HTTP2_GOAWAY_SESSION"].includes(
    (error as NodeJS.ErrnoException).code ?? "",
  );

const asFailure = (error: unknown, { host, port }: Conversation): Error =>
  error instanceof Error && "rule" in error ? error : toFailure(error, formatHostAndPort(host, port));

interface Prepared {
  readonly origin: Origin;
  readonly upstream: UpstreamRequest;
  readonly failure: () => Error | undefined;
}

async function prepare(
  conversation: Conversation,
  request: GuestRequest,
  record: ReturnType<typeof requestRecord>,
  room: BodyRoom,
  left: AbortSignal,
): Promise<Prepared> {
  const { principal, host, port, scheme } = conversation;
  const destination: Destination = { host, port, scheme };
  const head = { method: request.method, target: checkRequest(conversation, request), headers: request.headers };
  const substituted = substituteHead(principal.vault, destination, head);
  const plan = request.body === undefined ? undefined : planBody(principal.vault, destination, head);
  const body = await prepareBody(request, plan, room);
  const inBody = plan?.used ?? new Set<string>();
  record.secrets = () => [...new Set([...substituted.used, ...inBody])];
  const resolution = await principal.resolve(host, port, left);
  if (!resolution.ok) throw new UpstreamFailure("upstream-unreachable", resolution.detail);
  const websocket = request.protocol === "websocket";
  const trailers = (): [string, string][] => {
    const own = { ...head, target: "/", headers: request.trailers() };
    const together = { ...head, headers: [...head.headers, ...own.headers] };
    const { headers } = substituteHead(principal.vault, destination, own, together);
    return headers.map(([name, value]) => [name, value]);
  };
  return {
    origin: principal.origins.get(scheme, host, resolution.target),
    failure: body.failure,
    upstream: {
      method: substituted.method,
      target: substituted.target,
      authority: formatHostAndPort(host, port === (scheme === "https" ? 443 : 80) ? undefined : port),
      headers: requestHeaders(substituted.headers, {
        reads: principal.redactor.active,
        bodyLength: body.length,
        websocket,
      }),
      ...(body.stream !== undefined && {
        body: body.stream.on("data", (chunk: Buffer) => (record.bytesOut += chunk.length)).pause(),
      }),
      trailers,
      ...(websocket && { upgrade: "websocket" as const }),
    },
  };
}

async function send(
  conversation: Conversation,
  request: GuestRequest,
  origin: Origin,
  upstream: UpstreamRequest,
  handler: UpstreamHandler,
  left: AbortSignal,
): Promise<UpstreamCall> {
  if (request.protocol === "h2") {
    const stream = await origin.http2(left);
    if (stream !== undefined) return callHttp2(stream, conversation.scheme, upstream, handler);
    if (isGrpc(request.headers))
      throw new UpstreamFailure("upstream-protocol", "The host speaks no HTTP/2, which gRPC needs");
  }
  // RFC 9113 lets a cookie be split over several fields; HTTP/1.1 has one.
  const cookies = upstream.headers.filter(([name]) => name === "cookie").map(([, value]) => value);
  const headers = upstream.headers.filter(([name]) => name !== "cookie" && name !== "te");
  if (cookies.length > 0) headers.push(["cookie", cookies.join("; ")]);
  const { scheme } = conversation;
  return callHttp1(
    origin.http1,
    {
      ...upstream,
      // undici sends no `*`; a URL without a path says the same (RFC 9112 3.2.4).
      ...(upstream.target === "*" && { target: `${scheme}://${upstream.authority}` }),
      headers: headers.filter(([name, value]) => name !== "content-length" || value !== "0"),
    },
    handler,
  );
}
