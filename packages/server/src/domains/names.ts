/** Which hostnames apps can have. */
import { domainToASCII } from "node:url";
import { CaissonError } from "@caisson/protocol";

/** A DNS name has 253 characters at most (RFC 1035, 2.3.4), and its proof stands at `_caisson.` before it. */
const longest = 253 - "_caisson.".length;

/** @param own domain of the gateway @returns canonical @throws CaissonError `invalid_argument` */
export function readDomain(text: string, own: string): string {
  const domain = domainToASCII(text.trim().replace(/\.$/, ""));
  const labels = domain.split(".");
  const valid =
    domain.length <= longest &&
    labels.length >= 2 &&
    labels.length <= 9 &&
    labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) &&
    /[a-z]/.test(labels.at(-1)!);
  if (!valid)
    throw new CaissonError(
      "invalid_argument",
      `${JSON.stringify(text.slice(0, 100))} is not a hostname such as \`shop.example.com\`.`,
    );
  if (domain === own || domain.endsWith(`.${own}`) || /(^|\.)(localhost|local|internal|arpa)$/.test(domain))
    throw new CaissonError("invalid_argument", `The domain \`${domain}\` cannot belong to an app.`);
  return domain;
}
