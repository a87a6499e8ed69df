/** Turns the values of one sandbox's secrets back into their placeholders, in everything that comes in. */
import type { SecretBinding } from "@caisson/protocol";
import { formsOf } from "./forms.ts";
import { Matcher, type Needle } from "./matcher.ts";
import { StreamRewriter, rewriteAll } from "./stream-rewriter.ts";

interface Replacement {
  readonly text: Buffer;
}

export interface Redactor {
  /** False when the sandbox has no secret and nothing needs to be looked at. */
  readonly active: boolean;
  text(value: string): string;
  bytes(value: Buffer): Buffer;
  /**
   * For one body. `keepLength` cuts or pads the placeholder to the length of what it replaces, for formats that count
   * bytes inside, such as gRPC.
   */
  stream(options?: { keepLength?: boolean }): StreamRewriter<Replacement>;
}

export function createRedactor(secrets: readonly Pick<SecretBinding, "placeholder" | "value">[]): Redactor {
  const needles: Needle<Replacement>[] = secrets.flatMap(({ value, placeholder }) =>
    formsOf(value).map((form) => ({ bytes: form.bytes, tag: { text: Buffer.from(form.write(placeholder)) } })),
  );
  const matcher = new Matcher(needles);
  const replace = (needle: Needle<Replacement>): Buffer => needle.tag.text;
  const bytes = (value: Buffer): Buffer => (matcher.empty ? value : rewriteAll(matcher, replace, value));
  return {
    active: !matcher.empty,
    bytes,
    text(value) {
      if (matcher.empty) return value;
      // Header values are latin1 on the wire; a value beyond ASCII stands in them as UTF-8 bytes.
      const before = Buffer.from(value, "latin1");
      const after = bytes(before);
      return after === before ? value : after.toString("latin1");
    },
    stream: ({ keepLength = false } = {}) => new StreamRewriter(matcher, keepLength ? sameLength : replace),
  };
}

function sameLength(needle: Needle<Replacement>): Buffer {
  const result = Buffer.alloc(needle.bytes.length, "*");
  needle.tag.text.copy(result);
  return result;
}
