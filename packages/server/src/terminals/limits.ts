/** Bounds of terminals. See docs/terminals.md. */
export const terminalLimits = {
  /** Terminals of one sandbox, with those that have ended and can still be viewed. */
  terminals: 16,
  /** WebSockets of one terminal. */
  viewers: 16,
  /** Output that is kept for whoever attaches, bytes. */
  scrollback: 256 * 1024,
  /** Unsent output of the quickest viewer with which nothing more is read from the program, bytes. */
  pause: 256 * 1024,
  /** Unsent output with which a viewer is too slow and is disconnected, bytes. */
  behind: 1024 * 1024,
  /** Largest message of a viewer, bytes. */
  message: 64 * 1024,
  /** Milliseconds between pings. A viewer that did not answer the last one is disconnected. */
  ping: 30_000,
  /** Milliseconds that a viewer gets to read what was sent before it is disconnected. */
  linger: 5000,
  /** Milliseconds for the last output after the program has ended: a program in the background may keep the terminal open. */
  drain: 500,
  /** Milliseconds from the hang-up to the end by force. */
  hangUp: 5000,
} as const;

/** The server's memory for one terminal: its scrollback while it is copied, the streams of the program. */
export const terminalBytes = 2 * terminalLimits.scrollback + 512 * 1024;
/** And for a viewer: what may wait to be sent, and its scrollback. */
export const viewerBytes = terminalLimits.behind + terminalLimits.scrollback + 128 * 1024;
