/** New keys by bytes and by time, and not more often than makes sense. The library begins none by itself. */
import { AddressRate } from "@caisson/http1";
import type { Connection } from "ssh2";
import { beginRekey, isExchangingKeys, socketOf } from "./library.ts";
import { sshLimits } from "./limits.ts";

export interface RekeyLimits {
  /** Bytes in both directions together. */
  readonly rekeyBytes: number;
  /** Milliseconds. */
  readonly rekeyTime: number;
  /** Milliseconds that a client may take for its part. */
  readonly rekeyAnswer: number;
}

/**
 * @param fault called with words when the client does not take part in a key exchange, or begins too many
 * @param limits for tests
 */
export function keepKeysFresh(
  connection: Connection,
  fault: (words: string) => void,
  limits: RekeyLimits = sshLimits,
): void {
  const socket = socketOf(connection);
  const rate = new AddressRate(sshLimits.rekeys.perSecond, sshLimits.rekeys.burst);
  let since = 0;
  let ours = false;
  let answer: NodeJS.Timeout | undefined;

  const rekey = () => {
    timer.refresh();
    if (ours || isExchangingKeys(connection)) return;
    ours = true;
    answer = setTimeout(() => fault("Caisson: the client did not take part in a key exchange."), limits.rekeyAnswer);
    beginRekey(connection);
  };
  const timer = setTimeout(rekey, limits.rekeyTime);
  const watch = () => {
    if (socket.bytesRead + socket.bytesWritten - since > limits.rekeyBytes) rekey();
  };
  socket.on("data", watch);
  socket.on("drain", watch);
  connection.on("rekey", () => {
    clearTimeout(answer);
    since = socket.bytesRead + socket.bytesWritten;
    timer.refresh();
    if (!ours && !rate.take("")) fault("Caisson: the client exchanges keys too often.");
    ours = false;
  });
  connection.once("close", () => {
    clearTimeout(timer);
    clearTimeout(answer);
  });
}
