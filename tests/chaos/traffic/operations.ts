/** What a client does: one function for each operation, on the official client. */
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { Client, Sandbox } from "@deno/sandbox";
import { type Call, countPath, labelName, mountPath, upstreamHost, upstreamKey } from "./messages.ts";

/** Connections of this process, by label of the sandbox. */
export interface Connections {
  get(label: string): { readonly id: string; readonly sandbox: Sandbox | undefined } | undefined;
  add(label: string, sandbox: Sandbox, session: boolean): void;
}

/** Counts in a file. It waits on a pipe, because starting `sleep` each time would cost an emulated processor too much. */
const counter = `mkfifo /tmp/never; exec 3<>/tmp/never; i=0
while :; do i=$((i+1)); echo $i > ${countPath}; read -t 0.2 -u 3; done`;

/** Asks the upstream host with the secret key. */
export const fetchScript = `curl -sS -m 15 -H "Authorization: Bearer $KEY" https://${upstreamHost}/`;
export const reachedUpstream = `reached ${upstreamHost}`;

/** @returns what the client was told: an id or a host name. @throws what the client throws */
export async function perform(call: Call, connections: Connections): Promise<string | undefined> {
  const client = new Client();
  switch (call.op) {
    case "create": {
      const sandbox = await Sandbox.create({
        timeout: call.session ? "session" : "300m",
        memory: "768MiB",
        labels: { [labelName]: call.sandbox },
        volumes: Object.fromEntries(call.volumes.map((volume) => [mountPath(volume), volume])),
        allowNet: [upstreamHost],
        secrets: { KEY: { hosts: [upstreamHost], value: upstreamKey } },
      });
      connections.add(call.sandbox, sandbox, call.session);
      return sandbox.id;
    }
    case "create-volume": {
      const from = call.from === null ? {} : { from: call.from };
      return (await client.volumes.create({ slug: call.volume, region: "ord", capacity: "300MB", ...from })).id;
    }
    case "delete-volume":
      await client.volumes.delete(call.volume);
      return undefined;
    case "snapshot":
      return (await client.volumes.snapshot(call.volume, { slug: call.snapshot })).id;
    case "delete-snapshot":
      await client.snapshots.delete(call.snapshot);
      return undefined;
    case "list":
      await client.sandboxes.list();
      return undefined;
    case "connect": {
      const sandbox = await Sandbox.connect(connections.get(call.sandbox)?.id ?? "");
      connections.add(call.sandbox, sandbox, false);
      return sandbox.id;
    }
    default:
      return inside(call, await open(call.sandbox, connections));
  }
}

async function open(label: string, connections: Connections): Promise<Sandbox> {
  const known = connections.get(label);
  if (known === undefined) throw new Error(`${label} is not known here.`);
  if (known.sandbox !== undefined) return known.sandbox;
  const sandbox = await Sandbox.connect(known.id);
  connections.add(label, sandbox, false);
  return sandbox;
}

type Outside = "create" | "connect" | "create-volume" | "delete-volume" | "snapshot" | "delete-snapshot" | "list";
type Inside = Exclude<Call, { op: Outside }>;

async function inside(call: Inside, sandbox: Sandbox): Promise<string | undefined> {
  switch (call.op) {
    case "kill":
      await sandbox.kill();
      return undefined;
    case "extend":
      await sandbox.extendTimeout("300m");
      return undefined;
    case "run": {
      const text = await sandbox.sh`echo $((6 * 7))`.text();
      return right(text.trim() === "42", `echo printed ${JSON.stringify(text)}`);
    }
    case "file": {
      const bytes = randomBytes(100_000);
      // A name of its own: the other actor may do the same at the same time.
      const path = `/tmp/file-${randomUUID()}`;
      await sandbox.fs.writeFile(path, bytes);
      return right(bytes.equals(await sandbox.fs.readFile(path)), "a file has other bytes than were written");
    }
    case "count": {
      const child = await sandbox.spawn("bash", { args: ["-c", counter], stdout: "null", stderr: "null" });
      child.status.catch(() => undefined);
      return undefined;
    }
    case "fetch": {
      const text = await sandbox.sh`sh -c ${fetchScript}`.text();
      // The proxy says why it could not connect, which is a failure like any other.
      if (text.startsWith('{"error"')) throw new Error(text);
      return right(text.trim() === reachedUpstream, `the upstream answered ${JSON.stringify(text)}`);
    }
    case "expose":
      return new URL(await sandbox.exposeHttp({ port: 8080 })).hostname;
    default: {
      const directory = mountPath(call.volume);
      await sandbox.fs.writeTextFile(`${directory}/${call.file}`, contentOf(call.file));
      await sandbox.sh`sync ${directory}/${call.file} ${directory}`;
      return undefined;
    }
  }
}

/** What a file of a volume holds: its name decides, so that the checksum is known without it. */
export function contentOf(file: string): string {
  const line = `${file} ${createHash("sha256").update(file).digest("hex")}\n`;
  return line.repeat(1 + (line.charCodeAt(line.length - 2) % 64) * 8);
}

export function checksumOf(file: string): string {
  return createHash("sha256").update(contentOf(file)).digest("hex");
}

/** An answer that is wrong is worse than none: the prefix makes a validator find it. */
export const wrongAnswer = "WRONG ANSWER: ";

function right(expected: boolean, problem: string): undefined {
  if (!expected) throw new Error(wrongAnswer + problem);
  return undefined;
}
