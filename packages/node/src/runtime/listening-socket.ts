/**
 * Unix sockets that we bind and a child process serves. The child gets a listening descriptor, so it needs no writable directory
 * (a hostile child could put a symbolic link to another socket there), and we can connect before it has started.
 */
import { rename } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join, basename } from "node:path";

export interface ListeningSocket {
  readonly path: string;
  /** For the `stdio` of `spawn`. */
  readonly descriptor: number;
  /** Closes our copy of the descriptor; the path stays. */
  release(): Promise<void>;
}

export async function listenForChild(path: string): Promise<ListeningSocket> {
  // libuv unlinks on close the path that it bound, so the socket is bound under another name and renamed.
  const bound = join(dirname(path), `.${basename(path)}.new`);
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path: bound, backlog: 8 }, resolve);
  });
  await rename(bound, path);
  // The descriptor of a server has no public name in Node.
  // oxlint-disable-next-line no-underscore-dangle
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  return {
    path,
    descriptor: fd,
    release: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
}
