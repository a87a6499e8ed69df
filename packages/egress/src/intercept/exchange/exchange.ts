/**
 * One request from the guest to its upstream and back, in stages: check, substitute, send, relay the response, record. An `Exchange` is
 * the handler of its upstream call, so that a chunk passes through no closure of its own.
 */
import { formatHostAndPort } from "@caisson/policy";
import type { HeaderList } from "@caisson/http1";
import type { Duplex } from "node:stream";
import { UpstreamFailure, toFailure } from "../../upstream/failure.ts";
import type { Origin } from "../../upstream/origin.ts";
import type { UpstreamHandler } from "../../upstream/request.ts";
import type { RequestHead } from "../../secrets/substitute.ts";
import type { GuestReply, GuestRequest } from "../model/guest.ts";
import type { HttpConnection } from "../model/http-connection.ts";
import { explain, outcomeOf, RequestRefused } from "../model/outcome.ts";
import { requestRecord, type RequestRecord } from "../model/request-record.ts";
import { BodyBudget } from "../request/body-budget.ts";
import { checkRequest } from "../request/check.ts";
import { dropRest, leaveRest } from "../request/rest-of-body.ts";
import type { Relay } from "../response/relay.ts";
import { UnchangedRelay } from "../response/unchanged-relay.ts";
import { ResponseRelay } from "../response/response-relay.ts";
import { relayWebSocket } from "../websocket/relay.ts";
import { brokeOff, isRepeatable, send } from "./send.ts";
import { substituteRequest, type SubstitutedRequest } from "./substitute-request.ts";

/** Never rejects: every outcome is answered to the guest and recorded. */
export function exchange(connection: HttpConnection, request: GuestRequest, reply: GuestReply): Promise<void> {
  return new Exchange(connection, request, reply).run();
}

class Exchange implements UpstreamHandler {
  readonly #connection: HttpConnection;
  readonly #request: GuestRequest;
  readonly #reply: GuestReply;
  /** Gives back the place among the requests under way; undefined when there was none. */
  readonly #leave: (() => void) | undefined;
  readonly #bodyBudget: BodyBudget;
  readonly #record: RequestRecord;
  /** Aborted when the guest has disconnected. */
  readonly #left = new AbortController();
  #substituted: SubstitutedRequest | undefined;
  #origin: Origin | undefined;
  /** Exists from the first attempt to send on. */
  #relay: Relay | undefined;
  /** How often the request may be sent once more. */
  #repeats = 0;

  constructor(connection: HttpConnection, request: GuestRequest, reply: GuestReply) {
    const { principal } = connection;
    this.#connection = connection;
    this.#request = request;
    this.#reply = reply;
    this.#leave = principal.enter();
    this.#bodyBudget = new BodyBudget(principal, this.#leave);
    this.#record = requestRecord(connection, request, this.#bodyBudget);
    reply.onGone(() => this.#disconnected());
  }

  async run(): Promise<void> {
    if (this.#leave === undefined) return this.#fail(tooManyRequests());
    try {
      const head = this.#check();
      // Request hooks belong here: they see a request that is allowed, and no secret is in it yet.
      await this.#substitute(head);
      await this.#resolve();
      if (this.#left.signal.aborted) return this.#fail(disconnected());
      this.#begin();
      await this.#send();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** @throws RequestRefused */
  #check(): RequestHead {
    const checked = checkRequest(this.#connection, this.#request);
    return { method: this.#request.method, ...checked, headers: this.#request.headers };
  }

  /** @throws SecretRefused, RequestRefused */
  async #substitute(head: RequestHead): Promise<void> {
    this.#substituted = await substituteRequest({
      connection: this.#connection,
      request: this.#request,
      head,
      record: this.#record,
      bodyBudget: this.#bodyBudget,
    });
  }

  /** @throws UpstreamFailure */
  async #resolve(): Promise<void> {
    const { principal, scheme, host, port } = this.#connection;
    const resolution = await principal.resolve(host, port, this.#left.signal);
    if (!resolution.ok) throw new UpstreamFailure("upstream-unreachable", resolution.detail);
    this.#origin = principal.origins.get(scheme, host, resolution.target, port);
  }

  #begin(): void {
    const { principal, host } = this.#connection;
    this.#repeats = isRepeatable(this.#request) ? 1 : 0;
    const Kind = principal.vault.learns(host) ? ResponseRelay : UnchangedRelay;
    this.#relay = new Kind(this.#request.method, principal.redactor, this.#reply, (error) => this.#relayed(error));
  }

  /** @throws UpstreamFailure */
  async #send(): Promise<void> {
    const relay = this.#relay!;
    relay.call = await send({
      scheme: this.#connection.scheme,
      request: this.#request,
      origin: this.#origin!,
      upstream: this.#substituted!.upstream,
      handler: this,
      left: this.#left.signal,
    });
    if (this.#left.signal.aborted) relay.call.abort(disconnected());
  }

  // The response. An upstream may send more than Node is willing to write: that ends this exchange and nothing else.

  head(status: number, headers: HeaderList, ended: boolean): void {
    try {
      this.#relay!.head(status, headers, ended);
    } catch (error) {
      this.#relay!.fail(error as Error);
    }
  }

  data(chunk: Buffer): void {
    try {
      this.#relay!.data(chunk);
    } catch (error) {
      this.#relay!.fail(error as Error);
    }
  }

  end(trailers: HeaderList): void {
    try {
      this.#relay!.end(trailers);
    } catch (error) {
      this.#relay!.fail(error as Error);
    }
  }

  fail(error: Error): void {
    const relay = this.#relay!;
    if (this.#repeats-- > 0 && !this.#left.signal.aborted && relay.status === 0 && brokeOff(error))
      this.#send().catch((failed: Error) => relay.fail(failed));
    else relay.fail(error);
  }

  upgraded(socket: Duplex, headers: HeaderList): void {
    try {
      this.#recordAddress();
      relayWebSocket({
        connection: this.#connection,
        request: this.#request,
        reply: this.#reply,
        socket,
        headers,
        record: this.#record,
      });
    } catch (error) {
      this.#relay!.fail(error as Error);
    }
  }

  // The outcome. The first one is recorded.

  /** The response is over. */
  #relayed(error?: Error): void {
    const { status, bytesIn } = this.#relay!;
    this.#record.bytesIn = bytesIn;
    this.#recordAddress();
    if (error !== undefined) return this.#fail(this.#substituted!.failure() ?? error, status);
    leaveRest(this.#request, this.#record);
    this.#record.done({ verdict: "allowed", rule: "allowed", status });
  }

  /** @param status of a response that has begun, or 0 */
  #fail(error: unknown, status = 0): void {
    dropRest(this.#request);
    if (this.#left.signal.aborted)
      return this.#record.done({ verdict: "allowed", rule: "guest-left", ...(status !== 0 && { status }) });
    const { host, port } = this.#connection;
    const known = error instanceof Error && "rule" in error;
    const outcome = outcomeOf(known ? error : toFailure(error, formatHostAndPort(host, port)));
    explain(this.#reply, outcome, host.text, this.#request.protocol !== "h2");
    this.#record.done({
      verdict: outcome.verdict,
      rule: outcome.rule,
      status: outcome.status,
      detail: outcome.message,
    });
  }

  #disconnected(): void {
    const reason = disconnected();
    this.#left.abort(reason);
    this.#relay?.fail(reason);
  }

  #recordAddress(): void {
    const address = this.#origin?.address;
    if (address !== undefined) this.#record.address = address;
  }
}

const disconnected = (): Error => new Error("The guest has disconnected");

const tooManyRequests = (): RequestRefused =>
  new RequestRefused(
    503,
    "too-many-requests",
    "Too many requests of this sandbox are under way. Wait for some to end.",
  );
