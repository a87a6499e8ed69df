/** The error with which connect() fails in the sandbox, by its name in Linux. The agent knows these names (agent/internal/egress/connect.go). */
export type Errno = "ECONNREFUSED" | "ENETUNREACH" | "EHOSTUNREACH" | "ETIMEDOUT";

/** @param error of a dial that failed */
export function errnoOf(error: unknown): Errno {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  if (code === "ECONNREFUSED" || code === "ENETUNREACH" || code === "ETIMEDOUT") return code;
  return name === "TimeoutError" ? "ETIMEDOUT" : "EHOSTUNREACH";
}
