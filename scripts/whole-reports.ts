/**
 * Loaded into each test process (`scripts/test.ts`). Its report goes to a socket, which Node 24 writes to asynchronously when the reader is
 * slow; `--test-force-exit` then exits before all is written, and the last tests are counted by nobody. So writes wait for the reader.
 */
import process from "node:process";

const { _handle: handle } = process.stdout as { readonly _handle?: { setBlocking?: (blocking: boolean) => void } };
handle?.setBlocking?.(true);
