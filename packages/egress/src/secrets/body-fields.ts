/**
 * Where in a body a placeholder stands in the place of a credential: as the whole value of a field. Anywhere else it is text about it, such as
 * the output of `env` that an agent sends to its language model.
 */
import type { HeaderList } from "@caisson/http1";
import { Matcher } from "../redact/matcher.ts";
import type { Needle } from "../redact/needle.ts";
import type { PlaceholderForm, Secret, Vault } from "./vault.ts";

export type BodyKind = "json" | "form" | "multipart" | "xml" | "other";

/** What is around a placeholder that is the whole value of a field. Of messages of a WebSocket the type is unknown; most are JSON. */
const around: Readonly<Record<BodyKind, readonly (readonly [before: string, after: string])[]>> = {
  json: [
    ['"', '"'],
    ['"Bearer ', '"'],
  ],
  form: [["=", ""]],
  multipart: [["\r\n\r\n", "\r\n"]],
  xml: [
    [">", "<"],
    ['"', '"'],
    ["'", "'"],
  ],
  other: [["", ""]],
};

export function bodyKind(headers: HeaderList): BodyKind {
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1].toLowerCase() ?? "";
  if (/^application\/([a-z0-9.+-]+\+)?(json|x-ndjson|graphql)/.test(type)) return "json";
  if (type.startsWith("application/x-www-form-urlencoded")) return "form";
  if (type.startsWith("multipart/form-data")) return "multipart";
  if (/^(application|text)\/([a-z0-9.+-]+\+)?xml/.test(type)) return "xml";
  return "other";
}

/** Made once for each set of secrets: a sandbox has few. */
const made = new WeakMap<Vault, Map<string, Matcher<PlaceholderForm>>>();
const mostMade = 16;

/** @param asFields the secrets whose placeholders are searched for as whole fields only; all others are searched for everywhere */
export function placeholdersIn(vault: Vault, kind: BodyKind, asFields: ReadonlySet<Secret>): Matcher<PlaceholderForm> {
  if (asFields.size === 0) return vault.placeholders;
  const matchers = made.get(vault) ?? new Map<string, Matcher<PlaceholderForm>>();
  made.set(vault, matchers);
  const key = `${kind} ${vault.secrets.map((secret) => (asFields.has(secret) ? "f" : ".")).join("")}`;
  let matcher = matchers.get(key);
  if (matcher === undefined) {
    if (matchers.size >= mostMade) matchers.delete(matchers.keys().next().value!);
    matcher = new Matcher([...everywhere(vault, asFields), ...inFields(kind, asFields)]);
    matchers.set(key, matcher);
  }
  return matcher;
}

const everywhere = (vault: Vault, but: ReadonlySet<Secret>): readonly Needle<PlaceholderForm>[] =>
  vault.needles.filter(({ tag }) => !but.has(tag.secret));

function inFields(kind: BodyKind, secrets: ReadonlySet<Secret>): Needle<PlaceholderForm>[] {
  return [...secrets].flatMap((secret) =>
    around[kind].map(([before, after]) => ({
      bytes: Buffer.from(before + secret.binding.placeholder + after),
      tag: { secret, plain: true },
    })),
  );
}
