/** How refused requests look in the API document: every route names the statuses that it can refuse with. */
import { errorSchema } from "@caisson/api";

const descriptions = {
  400: "The request is not valid.",
  401: "The token is missing or unknown.",
  403: "The token belongs to another organisation, or the network policy forbids this.",
  404: "There is no such resource.",
  405: "The path exists, but not with this method. `Allow` names those that it has.",
  409: "The state of the resource does not allow this now.",
  410: "It has ended.",
  413: "The body is too large.",
  426: "The path takes WebSocket upgrades only.",
  429: "A limit of the organisation or of the node is reached.",
  500: "Something failed inside the platform.",
  501: "This server does not offer this.",
  502: "The sandbox did not do what it was asked to.",
  503: "A part of the platform does not answer now.",
  504: "It took too long.",
} as const;

export type RefusalStatus = keyof typeof descriptions;

interface Refusal {
  readonly description: string;
  readonly content: { readonly "application/json": { readonly schema: typeof errorSchema } };
}

/** Responses of a route for these statuses, each with `{code, message}` as its body. */
export function refusals<const S extends RefusalStatus>(...statuses: readonly S[]): Record<S, Refusal> {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: descriptions[status], content: { "application/json": { schema: errorSchema } } },
    ]),
  ) as unknown as Record<S, Refusal>;
}
