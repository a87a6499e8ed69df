/** What environment variables may be, from the documentation of the hosted service. */
import { envContexts } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";

/** Bytes. */
const longestKey = 128;
const longestValue = 16_384;

/** The platform sets these, or they change how programs are loaded. */
const reservedPrefixes = ["DENO_", "LD_", "OTEL_"];
const allowedDespitePrefix = new Set([
  "DENO_AUTH_TOKENS",
  "DENO_COMPAT",
  "DENO_CONDITIONS",
  "DENO_DEPLOY_ENDPOINT",
  "DENO_DEPLOY_TOKEN",
]);
const reservedKeys = new Set([
  "AWS_ROLE_ARN",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "GCP_WORKLOAD_PROVIDER_ID",
  "GCP_SERVICE_ACCOUNT_EMAIL",
  "GCP_PROJECT_ID",
  "AZURE_CLIENT_ID",
  "AZURE_TENANT_ID",
  "AZURE_FEDERATED_TOKEN_FILE",
]);

/** @throws CaissonError `invalid_argument` */
export function checkKey(key: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(key) || key.length > longestKey)
    throw invalid(
      `${JSON.stringify(key.slice(0, 140))} is not the name of an environment variable: use 1 to ${longestKey} letters, digits and "_", with no digit first`,
    );
  const prefix = reservedPrefixes.find((start) => key.startsWith(start));
  if (prefix !== undefined && !allowedDespitePrefix.has(key))
    throw invalid(`the name ${key} is reserved: names that begin with ${prefix} are set by the platform`);
  if (reservedKeys.has(key)) throw invalid(`the name ${key} is reserved for connections to cloud providers`);
  return key;
}

/** @throws CaissonError `invalid_argument`, without the value */
export function checkValue(key: string, value: string): string {
  if (Buffer.byteLength(value) > longestValue)
    throw invalid(`the value of ${key} has more than ${longestValue} bytes, the limit`);
  if (value.includes("\0")) throw invalid(`the value of ${key} contains a NUL character`);
  if (!value.isWellFormed()) throw invalid(`the value of ${key} is not valid Unicode (unpaired surrogate)`);
  return value;
}

/** @returns null: all. @throws CaissonError `invalid_argument` */
export function checkContexts(key: string, contexts: "all" | readonly string[]): readonly string[] | null {
  if (contexts === "all") return null;
  const names = [...new Set(contexts.map((name) => name.toLowerCase()))];
  const unknown = names.find((name) => !(envContexts as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw invalid(
      `${key} names the context ${JSON.stringify(unknown.slice(0, 80))}, which does not exist. Use "all" or some of ${envContexts.join(", ")}`,
    );
  if (names.length === 0) throw invalid(`${key} applies to no context. Use "all" or some of ${envContexts.join(", ")}`);
  return names;
}

export function invalid(message: string): CaissonError {
  return new CaissonError("invalid_argument", `Invalid environment variable: ${message}.`);
}
