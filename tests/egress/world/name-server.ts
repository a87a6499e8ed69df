/** A name server of the attacker's, which the platform takes for its own: answers as the test says and remembers every question. */
import { createSocket } from "node:dgram";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Addresses by name: each entry is one answer (addresses with commas between), given in turn; the last one stays. */
export type Zone = Readonly<Record<string, readonly string[]>>;

export interface NameServer {
  /** Names that were asked for, in order. */
  readonly queries: readonly string[];
  /** Adds records that are not addresses: their data (RFC 1035 3.2.1). */
  publish(name: string, type: number, data: readonly Buffer[]): void;
  /** Starts a program in a file system where this is the name server. Needs root. */
  readonly launcher: readonly string[];
  close(): Promise<void>;
}

const address = "127.53.0.1";

export async function startNameServer(zone: Zone): Promise<NameServer> {
  const queries: string[] = [];
  const turns = new Map<string, number>();
  const published = new Map<string, readonly Buffer[]>();
  const socket = createSocket("udp4");
  socket.on("message", (question, from) => {
    const { name, type, end } = readQuestion(question);
    queries.push(name);
    const answers = zone[name];
    let found: string[] = [];
    if (answers !== undefined) {
      const turn = turns.get(name) ?? 0;
      // A resolver asks for both families; both questions belong to one turn.
      turns.set(name, turn + 1);
      found = (answers[Math.min(Math.floor(turn / 2), answers.length - 1)] ?? "").split(",");
    }
    const ofAddress = type === 1 || type === 28;
    const others = published.get(`${name} ${type}`);
    const records = ofAddress
      ? found.filter((text) => (type === 28) === text.includes(":")).map((text) => record(type, text))
      : (others ?? []).map((data) => withHead(type, data));
    const head = Buffer.from(question.subarray(0, 12));
    head.writeUInt16BE(0x8580 | (answers === undefined && others === undefined ? 3 : 0), 2);
    head.writeUInt16BE(records.length, 6);
    head.fill(0, 8, 12);
    socket.send(Buffer.concat([head, question.subarray(12, end), ...records]), from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(53, address, resolve);
  });
  const directory = await mkdtemp(join(tmpdir(), "csn-dns-"));
  const file = join(directory, "resolv.conf");
  await writeFile(file, `nameserver ${address}\n`);
  return {
    queries,
    publish: (name, type, data) => void published.set(`${name} ${type}`, data),
    launcher: [
      "unshare",
      "--mount",
      "--propagation",
      "private",
      "sh",
      "-c",
      `mount --bind ${file} "$(readlink -f /etc/resolv.conf)" && exec "$@"`,
      "sh",
    ],
    async close() {
      await new Promise<void>((resolve) => socket.close(() => resolve()));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let size = message[at] ?? 0; size > 0; size = message[at] ?? 0) {
    labels.push(message.toString("latin1", at + 1, at + 1 + size));
    at += 1 + size;
  }
  return { name: labels.join(".").toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 };
}

/** With a lifetime of zero: a resolver that believes it asks again for every connection. */
function record(type: number, text: string): Buffer {
  const value = type === 28 ? Buffer.from(mapped(text), "hex") : Buffer.from(text.split(".").map(Number));
  return withHead(type, value);
}

function withHead(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, data.length >> 8, data.length & 255]), data]);
}

/** The only IPv6 addresses that the tests' zones hold: IPv4 inside IPv6. */
function mapped(text: string): string {
  const ipv4 = text.replace("::ffff:", "").split(".").map(Number);
  return `00000000000000000000ffff${Buffer.from(ipv4).toString("hex")}`;
}
