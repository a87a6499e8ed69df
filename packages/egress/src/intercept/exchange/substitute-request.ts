/** The stage that puts secrets in: turns a checked request of the guest into the request to the upstream. */
import { formatHostAndPort } from "@caisson/policy";
import type { UpstreamRequest } from "../../upstream/request.ts";
import { planBody } from "../../secrets/body-plan.ts";
import { substituteHead, type Destination, type RequestHead } from "../../secrets/substitute.ts";
import type { GuestRequest } from "../model/guest.ts";
import type { HttpConnection } from "../model/http-connection.ts";
import type { RequestRecord } from "../model/request-record.ts";
import type { BodyBudget } from "../request/body-budget.ts";
import { prepareBody } from "../request/body.ts";
import { requestHeaders } from "../request/headers.ts";

export interface Substitution {
  readonly connection: HttpConnection;
  readonly request: GuestRequest;
  /** As checked. */
  readonly head: RequestHead;
  readonly record: RequestRecord;
  readonly bodyBudget: BodyBudget;
}

export interface SubstitutedRequest {
  readonly upstream: UpstreamRequest;
  /** Why the body broke off, when the proxy itself ended it. */
  readonly failure: () => Error | undefined;
}

/** @throws SecretRefused, RequestRefused */
export async function substituteRequest({
  connection,
  request,
  head,
  record,
  bodyBudget,
}: Substitution): Promise<SubstitutedRequest> {
  const { vault } = connection.principal;
  const { host, port, scheme } = connection;
  const destination: Destination = { host, port, scheme };
  const substituted = substituteHead(vault, destination, head);
  const plan = request.body === undefined ? undefined : planBody(vault, destination, head);
  const body = await prepareBody(request, plan, bodyBudget);
  const inBody = plan?.used ?? new Set<string>();
  record.secrets = () => [...new Set([...substituted.used, ...inBody])];
  const websocket = request.protocol === "websocket";
  const trailers = (): [string, string][] => {
    const own = { ...head, target: "/", headers: request.trailers() };
    const together = { ...head, headers: [...head.headers, ...own.headers] };
    const { headers } = substituteHead(vault, destination, own, together);
    return headers.map(([name, value]) => [name, value]);
  };
  return {
    failure: body.failure,
    upstream: {
      method: substituted.method,
      target: substituted.target,
      authority: head.authority ?? formatHostAndPort(host, port === (scheme === "https" ? 443 : 80) ? undefined : port),
      headers: requestHeaders(substituted.headers, {
        reads: vault.learns(host),
        bodyLength: body.length,
        websocket,
        proxied: /^https?:/i.test(substituted.target),
      }),
      ...(body.stream !== undefined && {
        body: body.stream.on("data", (chunk: Buffer) => (record.bytesOut += chunk.length)).pause(),
      }),
      trailers,
      ...(websocket && { upgrade: "websocket" as const }),
    },
  };
}
