import type { Duplex } from "node:stream";

/** undici wants a socket; any Duplex with its few extra methods does. */
export function asSocket(stream: Duplex): never {
  const same = () => stream;
  for (const name of ["ref", "unref", "setNoDelay", "setKeepAlive", "setTimeout"]) {
    if (!(name in stream)) Object.defineProperty(stream, name, { value: same });
  }
  return stream as never;
}
