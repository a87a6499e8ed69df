/** Replaces placeholders by values in a request to an approved host. This is the last step before it is sent. */
import type { HeaderList } from "@caisson/http1";
import type { Host } from "@caisson/policy";
import { mayGoTo, type PlaceholderForm, type Secret, type Vault } from "./vault.ts";
import { findPlaceholders } from "./find.ts";
import { outsideNarrowing } from "./narrowed.ts";
import { holdUnfinished } from "../redact/holding.ts";
import { StreamRewriter } from "../redact/stream-rewriter.ts";

export interface Destination {
  readonly host: Host;
  readonly port: number;
  readonly scheme: "https" | "http";
}

export interface RequestHead {
  readonly method: string;
  /** Path and query as sent. */
  readonly target: string;
  readonly headers: HeaderList;
}

/** A placeholder that must not go where the request goes. */
export class SecretRefused extends Error {
  readonly rule: "secret-not-approved" | "secret-needs-https" | "secret-narrowed" | "secret-unfit";
  readonly secret: string;
  constructor(rule: SecretRefused["rule"], secret: Secret, why: string) {
    super(`The secret ${secret.binding.name} ${why}`);
    this.rule = rule;
    this.secret = secret.binding.name;
  }
}

/** @throws SecretRefused unless this secret may be in this request */
export function approve(secret: Secret, to: Destination, head: RequestHead): void {
  if (!mayGoTo(secret, to.host, to.port)) {
    throw new SecretRefused(
      "secret-not-approved",
      secret,
      `may not be sent to ${to.host.text}:${to.port}; it is for ${secret.binding.hosts.join(", ")}.`,
    );
  }
  if (to.scheme !== "https") throw new SecretRefused("secret-needs-https", secret, "may only be sent over HTTPS.");
  const outside = outsideNarrowing(secret.binding, head);
  if (outside !== undefined) throw new SecretRefused("secret-narrowed", secret, outside);
}

export interface Substituted extends RequestHead {
  /** Names of the secrets that were put in. */
  readonly used: readonly string[];
}

/**
 * Bytes that values may add to a head: enough for four of the longest. A head full of placeholders would become a thousand long values,
 * in every request that a guest cares to send at once.
 */
const mayGrow = 64 * 1024;

/**
 * Replaces placeholders in header values, Basic credentials and the target.
 * @param request what decides whether they may go there; for trailers, the head with them
 * @throws SecretRefused when the head contains a placeholder that may not go there
 */
export function substituteHead(vault: Vault, to: Destination, head: RequestHead, request = head): Substituted {
  const found = findPlaceholders(vault, [head.target, ...head.headers.flat()]);
  if (found.size === 0) return { ...head, used: [] };
  for (const secret of found) approve(secret, to, request);
  const used = new Set<string>();
  let grown = 0;
  const put = (secret: Secret, encoded: string): string => {
    used.add(secret.binding.name);
    grown += encoded.length - secret.binding.placeholder.length;
    if (grown > mayGrow)
      throw new SecretRefused(
        "secret-unfit",
        secret,
        "would make the head of the request more than 64 KiB longer, the limit.",
      );
    return encoded;
  };
  const inText = (text: string, encode: (value: string) => string): string => {
    let result = text;
    for (const secret of found) {
      const { placeholder, value } = secret.binding;
      if (result.includes(placeholder)) result = result.replaceAll(placeholder, () => put(secret, encode(value)));
    }
    return result;
  };
  const headers = head.headers.map(([name, value]): readonly [string, string] => {
    const substituted =
      inBasic(name, value, (text) => inText(text, (secret) => secret)) ?? inText(value, (secret) => toLatin1(secret));
    // A value with a line break in a header would write further headers.
    if (substituted !== value && /[\0\r\n]/.test(substituted)) {
      throw new SecretRefused(
        "secret-unfit",
        [...found][0]!,
        "contains a line break or a zero byte, which a header cannot contain.",
      );
    }
    return [name, substituted];
  });
  let target = head.target;
  for (const secret of found) {
    target = target.replace(secret.percentEncoded, () => put(secret, encodeURIComponent(secret.binding.value)));
  }
  return { method: head.method, target, headers, used: [...used] };
}

const toLatin1 = (text: string): string => Buffer.from(text).toString("latin1");

/** Decodes, replaces and encodes the credentials of RFC 7617. */
function inBasic(name: string, value: string, replace: (text: string) => string): string | undefined {
  if (!/^(proxy-)?authorization$/i.test(name)) return undefined;
  const match = /^(basic[ ]+)([A-Za-z0-9+/_-]+={0,2})\s*$/i.exec(value);
  if (match === null) return undefined;
  const before = Buffer.from(match[2]!, "base64").toString("utf8");
  const after = replace(before);
  return after === before ? undefined : match[1]! + Buffer.from(after).toString("base64");
}

/** What has to happen to a request body. */
export interface BodyPlan {
  /** Placeholders may be replaced, so the length may change. */
  readonly changes: boolean;
  readonly used: Set<string>;
  rewriter(): StreamRewriter<PlaceholderForm>;
}

/**
 * Undefined when the body can go as it is: there is no secret, or all are approved here and none is for bodies.
 * The rewriter throws SecretRefused for a placeholder that may not go there.
 */
export function planBody(vault: Vault, to: Destination, head: RequestHead): BodyPlan | undefined {
  const verdicts = new Map(vault.secrets.map((secret) => [secret, refusalOf(secret, to, head)]));
  const changes = vault.secrets.some((secret) => secret.binding.inBody === true && verdicts.get(secret) === undefined);
  if (!changes && [...verdicts.values()].every((verdict) => verdict === undefined)) return undefined;
  const encode = bodyEncoding(head.headers);
  const used = new Set<string>();
  /** Made once: a body full of placeholders is then full of references to one value. */
  const values = new Map<Secret, Buffer>();
  return {
    changes,
    used,
    rewriter: () =>
      new StreamRewriter(
        vault.placeholders,
        ({ bytes, tag: { secret, plain } }) => {
          const refusal = verdicts.get(secret);
          if (refusal !== undefined) throw refusal;
          if (secret.binding.inBody !== true || !plain) return bytes;
          used.add(secret.binding.name);
          const value = values.get(secret) ?? Buffer.from(encode(secret.binding.value));
          values.set(secret, value);
          return value;
        },
        holdUnfinished(vault.placeholders),
      ),
  };
}

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
