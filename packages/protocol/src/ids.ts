/** Identifiers of the public contract: `<kind>_<region>_<20 characters>`, never reused. */
import { randomBytes } from "node:crypto";

/** Digits and lower-case letters without i, l and o: the alphabet that the official JavaScript client checks. */
const alphabet = "0123456789abcdefghjkmnpqrstuvwxyz";

/** `ins`: an instance of an app; `bld`: a build. */
export type IdKind = "sbx" | "vol" | "snp" | "ins" | "bld";

/** @param region three lower-case letters */
export function newId(kind: IdKind, region: string): string {
  let text = "";
  while (text.length < 20) {
    for (const byte of randomBytes(32)) {
      // 231 = 7 * 33: larger bytes would favour the first letters.
      if (byte < 231 && text.length < 20) text += alphabet[byte % alphabet.length];
    }
  }
  return `${kind}_${region}_${text}`;
}

export const sandboxIdPattern = /^sbx_[a-z]{3}_[0-9a-hjkmnp-z]{20}$/;
