/** Why an upstream could not be used: the rules and messages of audit events. */

export type FailureRule =
  | "upstream-unreachable"
  | "upstream-certificate"
  | "upstream-tls"
  | "upstream-protocol"
  | "upstream-timeout";

export class UpstreamFailure extends Error {
  readonly rule: FailureRule;
  constructor(rule: FailureRule, message: string, options?: ErrorOptions) {
    super(message, options);
    this.rule = rule;
  }
}

/** What OpenSSL and Node report when a certificate does not prove the name. */
const certificateCodes =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|HOSTNAME_MISMATCH|ERR_TLS_CERT|CRL_|ERROR_IN_CERT)/;
const unreachableCodes = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "ENOENT",
  "EADDRNOTAVAIL",
  "EACCES",
  "EPERM",
]);
const timeoutCodes = new Set(["UND_ERR_HEADERS_TIMEOUT", "UND_ERR_BODY_TIMEOUT", "UND_ERR_CONNECT_TIMEOUT"]);

/** @param where host and port, for the message */
export function toFailure(error: unknown, where: string): UpstreamFailure {
  if (error instanceof UpstreamFailure) return error;
  const given = (error ?? {}) as { code?: string | number; name?: string; message?: string };
  const { name = "", message = String(error) } = given;
  // The codes of DOM exceptions are numbers.
  const code = String(given.code ?? "");
  const text = (why: string): string => `${where} ${why} (${code || name || message.slice(0, 200)})`;
  if (certificateCodes.test(code))
    return new UpstreamFailure("upstream-certificate", text("has a certificate that is not trusted"), {
      cause: error,
    });
  if (unreachableCodes.has(code) || name === "TimeoutError")
    return new UpstreamFailure("upstream-unreachable", text("cannot be reached"), { cause: error });
  if (timeoutCodes.has(code))
    return new UpstreamFailure("upstream-timeout", text("did not answer in time"), { cause: error });
  if (code.startsWith("ERR_SSL") || code === "EPROTO" || code.startsWith("ERR_TLS"))
    return new UpstreamFailure("upstream-tls", text("failed the TLS handshake"), { cause: error });
  return new UpstreamFailure("upstream-protocol", text("broke off the exchange"), { cause: error });
}
