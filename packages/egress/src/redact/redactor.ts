/** Replaces the values of one sandbox's secrets by their placeholders, in everything that comes in. */
import type { SecretBinding } from "@caisson/protocol";
import { type FormName, formsOf } from "@caisson/policy";
import { holdToken } from "./holding.ts";
import { Matcher } from "./matcher.ts";
import type { Needle } from "./needle.ts";
import { MessageRewriter } from "./message-rewriter.ts";
import type { Rewriter } from "./rewriter.ts";
import { StreamRewriter, rewriteAll } from "./stream-rewriter.ts";

const nameable = new Set<FormName>(["plain", "percent", "hex", "base64"]);

interface Replacement {
  readonly form: FormName;
  readonly text: Buffer;
}

/**
 * `text`: the last token is held back until it is complete. `sized`: the same, and lengths do not change. `messages`: each with its length
 * before it, see `MessageRewriter`. `unknown`: held bytes are given out by `idle` in any place, since the other side may be waiting for
 * them; lengths do not change, since the protocol may count the bytes.
 */
export type StreamKind = "text" | "sized" | "messages" | "unknown";

export interface Redactor {
  /** False when the sandbox has no secret and nothing needs to be looked at. */
  readonly active: boolean;
  text(value: string): string;
  bytes(value: Buffer): Buffer;
  /** Whether the name of a field holds a value; these have no case (RFC 9110 5.1), and HTTP/2 writes all of them small. */
  inName(name: string): boolean;
  /** For one body. */
  stream(kind: StreamKind): Rewriter;
  /** Whether a text in Latin-1, such as a header, holds a value. */
  finds(text: string): boolean;
  /**
   * For one body that must not change: bytes go on as they came, held back for a short pause at most.
   * The rewriter throws SecretReturned before the end of a value goes on.
   */
  watch(): Rewriter;
}

/** A value was found where nothing may be rewritten. */
export class SecretReturned extends Error {
  readonly rule = "secret-returned";
  constructor() {
    super(
      "The answer holds the value of a secret, and this host is not one that the secret is for. The proxy ended the connection. Remove the value at the host, or add the host to the secret's `hosts`.",
    );
  }
}

export function createRedactor(secrets: readonly Pick<SecretBinding, "placeholder" | "value">[]): Redactor {
  const needles: Needle<Replacement>[] = secrets.flatMap(({ value, placeholder }) =>
    formsOf(value).map((form) => ({ bytes: form.bytes, tag: { form: form.name, text: form.write(placeholder) } })),
  );
  const matcher = new Matcher(needles);
  // Names hold no quotes, no backslashes and no blanks.
  const inNames = new Matcher(
    needles
      .filter(({ tag }) => nameable.has(tag.form))
      .map(({ bytes, tag }) => ({ bytes: small(bytes.toString("latin1")), tag })),
  );
  const holding = holdToken(needles, matcher.longest);
  const replace = (needle: Needle<Replacement>): Buffer => needle.tag.text;
  const bytes = (value: Buffer): Buffer => (matcher.empty ? value : rewriteAll(matcher, replace, value));
  return {
    active: !matcher.empty,
    bytes,
    text(value) {
      if (matcher.empty) return value;
      // Header values are latin1 on the wire; they contain a value beyond ASCII as UTF-8 bytes.
      const before = Buffer.from(value, "latin1");
      const after = bytes(before);
      return after === before ? value : after.toString("latin1");
    },
    inName: (name) => inNames.find(small(name)) !== undefined,
    stream(kind) {
      if (kind === "text") return new StreamRewriter(matcher, replace, holding);
      if (kind === "sized") return new StreamRewriter(matcher, sameLength, holding);
      const lettingGo = new StreamRewriter(matcher, sameLength, holding, Number.POSITIVE_INFINITY);
      return kind === "messages" ? new MessageRewriter(lettingGo) : lettingGo;
    },
    finds: (text) => matcher.find(Buffer.from(text, "latin1")) !== undefined || inNames.find(small(text)) !== undefined,
    watch: () => new StreamRewriter(matcher, refuse, holding, Number.POSITIVE_INFINITY),
  };
}

const refuse = (): never => {
  throw new SecretReturned();
};

const small = (text: string): Buffer => Buffer.from(text.toLowerCase(), "latin1");

/** The replacement, cut or padded to the length of what it replaces. */
function sameLength(needle: Needle<Replacement>, shown: number): Buffer {
  const result = Buffer.alloc(needle.bytes.length, "*");
  needle.tag.text.copy(result);
  return result.subarray(shown);
}
