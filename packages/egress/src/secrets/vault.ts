/** The secrets of one sandbox, compiled: which may go where, and how their placeholders are found. */
import type { SecretBinding } from "@caisson/protocol";
import { formsOf, type Host, type HostPattern, parsePattern, patternMatches } from "@caisson/policy";
import { Matcher } from "../redact/matcher.ts";
import type { Needle } from "../redact/needle.ts";

export interface Secret {
  readonly binding: SecretBinding;
  readonly patterns: readonly HostPattern[];
  /** The placeholder with any of its characters percent-encoded. */
  readonly percentEncoded: RegExp;
}

/** The needle's tag when scanning what a guest sends. */
export interface PlaceholderForm {
  readonly secret: Secret;
  /** Not encoded, so that it can be replaced in place. */
  readonly plain: boolean;
}

export interface Vault {
  readonly secrets: readonly Secret[];
  readonly needles: readonly Needle<PlaceholderForm>[];
  readonly placeholders: Matcher<PlaceholderForm>;
  /** Whether any secret may go to this host, so that its traffic has to be read. */
  concerns(host: Host, port: number): boolean;
  /** Whether any secret may go to this host, by whatever port: it may know the value. */
  learns(host: Host): boolean;
}

export function createVault(bindings: readonly SecretBinding[]): Vault {
  const secrets = bindings.map((binding): Secret => ({
    binding,
    patterns: binding.hosts.map(parsePattern),
    percentEncoded: new RegExp(Array.from(Buffer.from(binding.placeholder), charOrPercent).join(""), "gi"),
  }));
  const needles = secrets.flatMap((secret) =>
    formsOf(secret.binding.placeholder).map(({ bytes, name }) => ({ bytes, tag: { secret, plain: name === "plain" } })),
  );
  return {
    secrets,
    needles,
    placeholders: new Matcher(needles),
    concerns: (host, port) => secrets.some((secret) => mayGoTo(secret, host, port)),
    learns: (host) =>
      secrets.some(({ patterns }) => patterns.some((pattern) => patternMatches(pattern, host, pattern.port ?? 0))),
  };
}

export function mayGoTo(secret: Secret, host: Host, port: number): boolean {
  return secret.patterns.some((pattern) => patternMatches(pattern, host, port));
}

function charOrPercent(byte: number): string {
  const hex = byte.toString(16).padStart(2, "0");
  const char = String.fromCharCode(byte).replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
  return `(?:${char}|%${hex})`;
}
