/** Bounds of the SSH gateway. Milliseconds unless they say otherwise. */
export const sshLimits = {
  /** From the connection to the end of the login, as sshd's LoginGraceTime. */
  login: 30_000,
  /** Attempts of one connection, as sshd's MaxAuthTries. */
  attempts: 6,
  /** Connections that are not logged in: all, and of one address. */
  logins: 256,
  loginsPerAddress: 16,
  /** Of one sandbox, under whatever user name. A channel buffers up to 2 MiB of what nobody inside reads. */
  connectionsPerSandbox: 32,
  channelsPerSandbox: 64,
  /** An alive message after this long without data; the connection ends after so many without an answer. */
  keepAlive: 15_000,
  keepAlives: 4,
  /** Variables of one session, and the bytes of each. */
  variables: 64,
  variableBytes: 32 * 1024,
  /** Bytes of a command line. */
  commandBytes: 128 * 1024,
  /** Milliseconds between the end of a process and that of its output. */
  drain: 5_000,
} as const;
