/** A name server on loopback with answers made by a function, for rebinding and the like. */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isIPv4 } from "node:net";

export interface NameServer {
  /** `address:port`. */
  readonly address: string;
  /** Every question: `name type`. */
  readonly questions: string[];
  close(): void;
}

/**
 * @param answer addresses for a name, by family; TTL in seconds
 * @param others the data of other records, by type; undefined: there is no such name
 */
export async function startNameServer(
  answer: (name: string) => { addresses: readonly string[]; ttl?: number },
  others: (name: string, type: number) => readonly Buffer[] | undefined = () => [],
): Promise<NameServer> {
  const socket: Socket = createSocket("udp4");
  const questions: string[] = [];
  socket.on("message", (query, from) => {
    const labels: string[] = [];
    let offset = 12;
    for (let length = query[offset]!; length !== 0; length = query[offset]!) {
      labels.push(query.subarray(offset + 1, offset + 1 + length).toString("latin1"));
      offset += 1 + length;
    }
    const type = query.readUInt16BE(offset + 1);
    const question = query.subarray(12, offset + 5);
    const name = labels.join(".").toLowerCase();
    questions.push(`${labels.join(".")} ${{ 1: "A", 28: "AAAA", 33: "SRV", 16: "TXT", 15: "MX" }[type] ?? type}`);
    const { addresses, ttl = 0 } = answer(name);
    const ofAddresses = (): Buffer[] =>
      addresses
        .filter((address) => isIPv4(address) === (type === 1))
        .map((address) => (isIPv4(address) ? Buffer.from(address.split(".").map(Number)) : ipv6(address)));
    const all = type === 1 || type === 28 ? ofAddresses() : others(name, type);
    const records = (all ?? []).map((data) => {
      const record = Buffer.alloc(12);
      record.writeUInt16BE(0xc00c, 0);
      record.writeUInt16BE(type, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt32BE(ttl, 6);
      record.writeUInt16BE(data.length, 10);
      return Buffer.concat([record, data]);
    });
    const header = Buffer.alloc(12);
    query.copy(header, 0, 0, 2);
    header.writeUInt16BE(all === undefined ? 0x8183 : 0x8180, 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    socket.send(Buffer.concat([header, question, ...records]), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return { address: `127.0.0.1:${socket.address().port}`, questions, close: () => socket.close() };
}

function ipv6(address: string): Buffer {
  const [head = "", tail = ""] = address.split("::");
  const parse = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16));
  const [first, last] = [parse(head), parse(tail)];
  const groups = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => 0), ...last];
  return Buffer.from(groups.flatMap((group) => [group >> 8, group & 255]));
}
