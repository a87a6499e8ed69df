/** Replaces placeholders in the body of a request to an approved host, or refuses them. */
import type { HeaderList } from "@caisson/http1";
import { holdUnfinished } from "../redact/holding.ts";
import { StreamRewriter } from "../redact/stream-rewriter.ts";
import { bodyKind, placeholdersIn } from "./body-fields.ts";
import { approve, SecretRefused, type Destination, type RequestHead } from "./substitute.ts";
import type { PlaceholderForm, Secret, Vault } from "./vault.ts";

/** What has to happen to a request body. */
export interface BodyPlan {
  /** Placeholders may be replaced, so the length may change. */
  readonly changes: boolean;
  readonly used: Set<string>;
  rewriter(): StreamRewriter<PlaceholderForm>;
}

/**
 * Undefined when the body can go as it is: there is no secret, or all are approved here and their placeholders may go as they are.
 * The rewriter throws SecretRefused for a placeholder that may not go there. Where a secret says nothing about bodies, that is one in the
 * place of a credential: the host would get a word that it does not know, and nobody would know why.
 */
export function planBody(
  vault: Vault,
  to: Destination,
  head: RequestHead,
  kind = bodyKind(head.headers),
): BodyPlan | undefined {
  const verdicts = new Map(vault.secrets.map((secret) => [secret, refusalOf(secret, to, head)]));
  const changes = vault.secrets.some((secret) => secret.binding.inBody === true && verdicts.get(secret) === undefined);
  const asFields = vault.secrets.filter(
    (secret) => secret.binding.inBody === undefined && verdicts.get(secret) === undefined,
  );
  if (!changes && asFields.length === 0 && [...verdicts.values()].every((verdict) => verdict === undefined))
    return undefined;
  const placeholders = placeholdersIn(vault, kind, new Set(asFields));
  const encode = bodyEncoding(head.headers);
  const used = new Set<string>();
  /** Made once: a body full of placeholders is then full of references to one value. */
  const values = new Map<Secret, Buffer>();
  return {
    changes,
    used,
    rewriter: () =>
      new StreamRewriter(
        placeholders,
        ({ bytes, tag: { secret, plain } }) => {
          const refusal = verdicts.get(secret);
          if (refusal !== undefined) throw refusal;
          if (secret.binding.inBody === undefined) throw notInBody(secret);
          if (!secret.binding.inBody || !plain) return bytes;
          used.add(secret.binding.name);
          const value = values.get(secret) ?? Buffer.from(encode(secret.binding.value));
          values.set(secret, value);
          return value;
        },
        holdUnfinished(placeholders),
      ),
  };
}

const notInBody = (secret: Secret): SecretRefused =>
  new SecretRefused(
    "secret-not-in-body",
    secret,
    "is in the body of the request, where it is not replaced. Set `inBody: true` for this secret so that the host gets the value, send it in a header, or set `inBody: false` to send the placeholder as it is.",
  );

function refusalOf(secret: Secret, to: Destination, head: RequestHead): SecretRefused | undefined {
  try {
    approve(secret, to, head);
    return undefined;
  } catch (error) {
    if (error instanceof SecretRefused) return error;
    throw error;
  }
}

/** A value with quotes or ampersands must not break the document it is put into. */
function bodyEncoding(headers: HeaderList): (value: string) => string {
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1].toLowerCase() ?? "";
  if (/^application\/([a-z0-9.+-]+\+)?json/.test(type)) return (value) => JSON.stringify(value).slice(1, -1);
  if (type.startsWith("application/x-www-form-urlencoded")) return encodeURIComponent;
  return (value) => value;
}
