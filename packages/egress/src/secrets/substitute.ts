/** Replaces placeholders by values in a request to an approved host. This is the last step before it is sent. */
import type { HeaderList } from "@caisson/http1";
import type { Host } from "@caisson/policy";
import { mayGoTo, type Secret, type Vault } from "./vault.ts";
import { findPlaceholders } from "./find.ts";
import { outsideNarrowing } from "./narrowed.ts";
import { inTarget } from "./in-target.ts";

export interface Destination {
  readonly host: Host;
  readonly port: number;
  readonly scheme: "https" | "http";
}

export interface RequestHead {
  readonly method: string;
  /** Path and query as sent, or the URL for a forward proxy. */
  readonly target: string;
  /** Absent: the host of the connection. */
  readonly authority?: string;
  readonly headers: HeaderList;
}

/** A placeholder that must not go where the request goes. */
export class SecretRefused extends Error {
  readonly rule:
    | "secret-not-approved"
    | "secret-needs-https"
    | "secret-narrowed"
    | "secret-unfit"
    | "secret-not-in-body"
    | "secret-in-signature"
    | "secret-not-in-http";
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
  checkSignature(vault, to, head, found);
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
    const { value } = secret.binding;
    target = target.replace(secret.percentEncoded, (match, at: number, whole: string) =>
      put(secret, inTarget(value, whole, at, at + match.length)),
    );
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

/**
 * A signature of AWS is computed in the sandbox, with the placeholder in place of the key. The host could only answer that it is wrong.
 * @throws SecretRefused
 */
function checkSignature(vault: Vault, to: Destination, { target, headers }: RequestHead, found: Set<Secret>): void {
  const authorization = headers.find(([name]) => name.toLowerCase() === "authorization")?.[1] ?? "";
  const signed = /^\s*AWS4-/i.test(authorization) ? authorization : /[?&]X-Amz-Credential=[^&]*/i.exec(target)?.[0];
  if (signed === undefined) return;
  const named = [...found].find(({ binding }) => signed.includes(binding.placeholder));
  const key = vault.secrets.find((secret) => !found.has(secret) && mayGoTo(secret, to.host, to.port));
  if (named === undefined || key === undefined) return;
  throw new SecretRefused(
    "secret-in-signature",
    key,
    "cannot sign a request: the signature (AWS SigV4) is computed in the sandbox, which has only the placeholder. Use presigned URLs, or give the sandbox temporary credentials as plain environment variables.",
  );
}
