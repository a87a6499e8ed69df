/** Bounds of the SSH gateway. Milliseconds unless they say otherwise. */
export const sshLimits = {
  /** From the connection to the end of the login, as sshd's LoginGraceTime. */
  login: 30_000,
  /** Attempts of one connection, as sshd's MaxAuthTries. */
  attempts: 6,
  /** Connections that are not logged in: all, and of one address. */
  logins: 512,
  loginsPerAddress: 64,
  /**
   * Connections in a second that do not log in, on average, and how many may come at once after a quiet time. A key exchange takes some
   * 6 ms of the server's only thread.
   */
  failuresPerAddress: { perSecond: 1, burst: 60 },
  failures: { perSecond: 50, burst: 1500 },
  /** Of one sandbox, under whatever user name. A channel buffers up to 2 MiB of what nobody inside reads. */
  connectionsPerSandbox: 32,
  channelsPerSandbox: 64,
  /** Ports and sockets that one connection listens on inside (`-R`). */
  remoteForwards: 32,
  /** An alive message after this long without data; the connection ends after so many without an answer. */
  keepAlive: 15_000,
  keepAlives: 4,
  /** New keys after so many bytes (RFC 4253, 9) or this long, and until the client has taken part in it. */
  rekeyBytes: 2 ** 30,
  rekeyTime: 3_600_000,
  rekeyAnswer: 60_000,
  /** Key exchanges that a client may begin, in a second on average, and at once. */
  rekeys: { perSecond: 1, burst: 30 },
  /** Bytes that wait for a client to read: from so many on nothing is read inside the sandbox for it, or from the client itself. */
  unread: 2 ** 20,
  unreadAnswers: 4 * 2 ** 20,
  /** Until a connection that we ended is cut. */
  linger: 2_000,
  /** Between broken streams of a machine that ended by itself and the notice of its end. */
  ending: 3_000,
  /** Between the end of a program by a signal, which may be that of its machine, and the report of it. */
  killed: 1_000,
  /** Variables of one session, and the bytes of each. */
  variables: 64,
  variableBytes: 32 * 1024,
  /** Bytes of a command line. */
  commandBytes: 128 * 1024,
  /** Between the end of a process and that of its output, and from the close of a channel until what nobody has read of it is dropped. */
  drain: 5_000,
} as const;
