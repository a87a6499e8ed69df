/**
 * The closed list of error codes, with the HTTP status that carries each over REST. SDKs match on these; messages are for people.
 * A code that is not listed here cannot be thrown.
 */

/** What kind of error it is. */
export const errorStatus = {
  invalid_argument: 400,
  unauthenticated: 401,
  forbidden: 403,
  policy_denied: 403,
  not_found: 404,
  method_not_allowed: 405,
  gone: 410,
  already_exists: 409,
  invalid_state: 409,
  too_large: 413,
  upgrade_required: 426,
  resource_exhausted: 429,
  cancelled: 499,
  internal: 500,
  unsupported: 501,
  guest_error: 502,
  unavailable: 503,
  timeout: 504,
} as const;

export type ErrorCode = keyof typeof errorStatus;

/** Codes on the wire that say more than the kind; the public contract prescribes most of them. */
export const detailCodes = [
  "INVALID_TOKEN",
  "SANDBOX_LIMIT_REACHED",
  "VOLUME_NOT_FOUND",
  "SNAPSHOT_NOT_FOUND",
  "VOLUME_LIMIT_REACHED",
  "VOLUME_ATTACHED",
  "VOLUME_BUSY",
  "VOLUME_DAMAGED",
  "SNAPSHOT_DAMAGED",
  "SLUG_ALREADY_IN_USE",
  "NOT_BOOTABLE",
  "BASE_IMAGE_CHANGED",
  "DISK_FULL",
  "APP_NOT_FOUND",
  "APP_LIMIT_REACHED",
  "LAYER_NOT_FOUND",
  "LAYER_LIMIT_REACHED",
  "ENV_VAR_LIMIT_REACHED",
  "REVISION_NOT_FOUND",
  "REVISION_LIMIT_REACHED",
  "REVISION_ACTIVE",
  "REVISION_BUILDING",
] as const;

export type DetailCode = (typeof detailCodes)[number];

/** What `code` can be in the JSON of an error. */
export type WireCode = DetailCode | Uppercase<ErrorCode>;
