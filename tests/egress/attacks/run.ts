/** Carries out a table of attacks from inside one real sandbox, with the defences on or off, and gathers what came of each. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Sandbox, type SandboxOptions } from "@deno/sandbox";
import type { EgressEvent } from "@caisson/protocol";
import { until, within } from "@caisson/testing";
import { createTestAuthority, type TestAuthority } from "../world/authority.ts";
import { Listener } from "../world/listener.ts";
import { startNameServer } from "../world/name-server.ts";
import { startEgressPlatform, type EgressPlatform } from "../world/platform.ts";
import type { Attack, AttackTable, Evidence, Role } from "./attack.ts";
import { tables } from "./tables/index.ts";

export type Defences = "on" | "off";

interface Prepared {
  readonly id: string;
  readonly attack: Attack;
  readonly listeners: Record<Role, Listener>;
  readonly names: Record<string, string>;
}

export interface Campaign {
  readonly platform: EgressPlatform;
  readonly sandbox: Sandbox;
  /** The real value of the key. */
  readonly key: string;
  readonly evidence: ReadonlyMap<string, Evidence>;
  close(): Promise<void>;
}

/** Quotes and signs in it make sure that its spellings differ. */
export function newKey(): string {
  return `sk-test-${randomBytes(15).toString("base64url")}/+=&"<`;
}

/** A platform with the hosts of some tables, ready for their attacks. */
export interface Field {
  readonly platform: EgressPlatform;
  readonly authority: TestAuthority;
  readonly defences: Defences;
  readonly prepared: ReadonlyMap<AttackTable, readonly Prepared[]>;
  readonly nameServer: Awaited<ReturnType<typeof startNameServer>> | undefined;
  close(): Promise<void>;
}

/**
 * @param wanted tables that can share a platform: either one, or several without `zone` and `operator`; with the defences off, one
 */
export async function openField(wanted: readonly AttackTable[], defences: Defences): Promise<Field> {
  const off = defences === "off";
  const undo: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    const authority = await createTestAuthority();
    const ticketKeys = randomBytes(48);
    const prepared = new Map<AttackTable, readonly Prepared[]>();
    for (const table of wanted)
      prepared.set(
        table,
        await Promise.all(table.attacks.map((attack, index) => prepare(table, attack, index, authority, ticketKeys))),
      );
    const all = [...prepared.values()].flat();
    undo.push(() => Promise.all(all.flatMap(({ listeners }) => Object.values(listeners).map((one) => one.close()))));
    const zoned = wanted.find(({ zone }) => zone !== undefined);
    const zone = Object.assign({}, ...all.map(({ id }, index) => zoned?.zone?.(id, index) ?? {})) as Record<
      string,
      readonly string[]
    >;
    const nameServer = zoned === undefined ? undefined : await startNameServer(zone);
    if (nameServer !== undefined) undo.push(() => nameServer.close());
    const resolve = Object.assign({}, ...wanted.map((table) => addresses(table, prepared.get(table)!, off))) as object;
    const platform = await startEgressPlatform({
      authority,
      egress: {
        resolve,
        allowRanges: ["127.99.0.1/32", ...(off ? wanted.flatMap(({ openRanges }) => openRanges ?? []) : [])],
        ...(!off && wanted[0]?.operator),
      },
      ...(nameServer !== undefined && { launcher: nameServer.launcher }),
    });
    undo.push(() => platform.stop(15_000));
    return { platform, authority, defences, prepared, nameServer, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Carries out a table from one sandbox. */
export async function carryOut(table: AttackTable, field: Field): Promise<Campaign> {
  const { platform, nameServer } = field;
  const off = field.defences === "off";
  const prepared = field.prepared.get(table);
  if (prepared === undefined) throw new Error(`The hosts of "${table.title}" are not there.`);
  const key = newKey();
  const sandbox = await within(30_000, "the sandbox", Sandbox.create(options(table, prepared, key, off)));
  const close = () => sandbox.kill();
  try {
    if (off) await disarm(sandbox, field.authority.certificatePem, table.rehearsal);
    else if (table.passThrough !== undefined) await passThrough(platform, sandbox, table.passThrough);
    const outcomes = await probe(sandbox, prepared, new URL(platform.env.DENO_DEPLOY_ENDPOINT).port, off);
    const audit = await settledAudit(platform, sandbox.id);
    const evidence = new Map(
      prepared.map(({ id, attack, listeners, names }): [string, Evidence] => {
        const { outcome, milliseconds } = outcomes.get(id) ?? {
          outcome: "[never carried out]",
          milliseconds: Number.POSITIVE_INFINITY,
        };
        const about = audit.filter((event) =>
          concerns(
            event,
            id,
            { ...names, CONTROL: new URL(platform.env.DENO_DEPLOY_ENDPOINT).port },
            listeners.evil.port,
          ),
        );
        return [
          attack.name,
          { id, outcome, milliseconds, key, listeners, audit: about, queries: nameServer?.queries ?? [] },
        ];
      }),
    );
    return { platform, sandbox, key, evidence, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Networks for documentation (RFC 5737): every attack of every table has an address of its own in them. */
const networks = ["203.0.113", "198.51.100", "192.0.2"];

function numberOf(table: AttackTable, index: number): number {
  const before = tables.slice(0, tables.indexOf(table));
  return before.reduce((sum, { attacks }) => sum + attacks.length, index);
}

async function prepare(
  table: AttackTable,
  attack: Attack,
  index: number,
  authority: Awaited<ReturnType<typeof createTestAuthority>>,
  ticketKeys: Buffer,
): Promise<Prepared> {
  const id = `${table.prefix}${String(index).padStart(2, "0")}`;
  const number = numberOf(table, index);
  const names = {
    HOST: `${id}.ok.example`,
    OTHER: `${id}.other.example`,
    EVIL: `${id}.evil.example`,
    NAME: `${id}.zone.example`,
    ADDRESS: `${networks[Math.floor(number / 250)]}.${(number % 250) + 1}`,
    ADDRESS6: `2001:db8::${(number + 1).toString(16)}`,
    TARGET: table.leadsToEvil?.(index)[0] ?? "",
  };
  const listen = async (role: Role, ...of: readonly string[]): Promise<Listener> =>
    Listener.start({
      name: `${role} of ${id}`,
      identity: await authority.issue(of, role === "host" ? table.faults?.[attack.name] : undefined),
      ticketKeys,
    });
  const [host, other, evil] = await Promise.all([
    listen("host", names.HOST),
    listen("other", names.OTHER),
    listen(
      "evil",
      names.EVIL,
      names.EVIL.toUpperCase(),
      names.ADDRESS,
      names.ADDRESS6,
      ...(table.leadsToEvil?.(index) ?? []),
    ),
  ]);
  return { id, attack, listeners: { host, other, evil }, names };
}

/** The names that the platform's host knows. What leads to internal addresses or to hosts that do not exist is known only without defences. */
function addresses(table: AttackTable, prepared: readonly Prepared[], off: boolean): Record<string, string> {
  const map: Record<string, string> = {};
  for (const [index, { listeners, names }] of prepared.entries()) {
    if (names["HOST"] !== undefined) map[names["HOST"]] = listeners.host.address;
    if (names["OTHER"] !== undefined) map[names["OTHER"]] = listeners.other.address;
    for (const name of [names["EVIL"], names["ADDRESS"]]) if (name !== undefined) map[name] = listeners.evil.address;
    map[`[${names["ADDRESS6"]}]`] = listeners.evil.address;
    if (off)
      for (const name of table.leadsToEvil?.(index) ?? [])
        map[name.includes(":") ? `[${name}]` : name] = listeners.evil.address;
  }
  return map;
}

function options(table: AttackTable, prepared: readonly Prepared[], key: string, off: boolean): SandboxOptions {
  if (off) return { env: { KEY: key } };
  if (table.unrestricted === true) return {};
  const zoned = table.zone === undefined ? [] : prepared.map(({ names }) => names["NAME"] ?? "");
  return {
    allowNet: ["*.ok.example", "*.other.example", ...zoned],
    secrets: { KEY: { hosts: ["*.ok.example"], value: key } },
  };
}

async function passThrough({ env }: EgressPlatform, sandbox: Sandbox, hosts: readonly string[]): Promise<void> {
  const answer = await fetch(`${env.DENO_DEPLOY_ENDPOINT}/api/v1/sandboxes/${sandbox.id}/network`, {
    method: "PUT",
    headers: { authorization: `Bearer ${env.DENO_DEPLOY_TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify({ passThrough: hosts }),
  });
  assert.equal(answer.status, 204, await answer.text());
}

/** Without interception programs meet the hosts' own certificates, so they have to trust who made them. */
async function disarm(sandbox: Sandbox, certificatePem: string, rehearsal: string | undefined): Promise<void> {
  await sandbox.fs.writeTextFile("/tmp/test-authority.pem", certificatePem);
  await sandbox.sh`cat /tmp/test-authority.pem | sudo tee -a /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates/caisson.crt > /dev/null`;
  if (rehearsal === undefined) return;
  await sandbox.fs.writeTextFile("/tmp/rehearsal.py", rehearsal);
  const child = await sandbox.spawn("sudo", { args: ["python3", "/tmp/rehearsal.py"], stdout: "null", stderr: "null" });
  child.status.catch(() => undefined);
  await until(15_000, "the rehearsal", () =>
    sandbox.fs.stat("/tmp/rehearsed").then(
      () => true,
      () => undefined,
    ),
  );
}

interface Outcome {
  readonly outcome: string;
  readonly milliseconds: number;
}

function program({ python, bash, control }: Attack, off: boolean): { python?: string | undefined } | { bash: string } {
  if (off && control !== undefined) return { python: control };
  return bash === undefined ? { python } : { bash };
}

async function probe(
  sandbox: Sandbox,
  prepared: readonly Prepared[],
  control: string,
  off: boolean,
): Promise<Map<string, Outcome>> {
  const attacks = prepared.map(({ id, attack, names, listeners }) => ({
    id,
    ...program(attack, off),
    names: { ...names, ID: id, PORT: listeners.evil.port, CONTROL: Number(control) },
  }));
  await sandbox.fs.writeTextFile("/tmp/probe.py", await readFile(join(import.meta.dirname, "guest/probe.py"), "utf8"));
  await sandbox.fs.writeTextFile("/tmp/attacks.json", JSON.stringify(attacks));
  const child = await sandbox.spawn("python3", {
    args: ["/tmp/probe.py", "/tmp/attacks.json"],
    stdout: "piped",
    stderr: "piped",
  });
  const { stdoutText, stderrText, status } = await within(280_000, "the attacks", child.output());
  if (!status.success) throw new Error(`The probes ended with ${status.code}: ${stderrText}`);
  const lines = (stdoutText ?? "")
    .trim()
    .split("\n")
    .filter((line) => line !== "");
  return new Map(
    lines.map((line) => {
      const { id, ...rest } = JSON.parse(line) as Outcome & { id: string };
      return [id, rest];
    }),
  );
}

/** Events arrive a moment after what they are about. */
async function settledAudit(platform: EgressPlatform, sandboxId: string): Promise<EgressEvent[]> {
  let last = -1;
  return until(
    15_000,
    "an audit that stands still",
    async () => {
      const events = await platform.audit(sandboxId);
      const still = events.length === last;
      last = events.length;
      return still ? events : undefined;
    },
    800,
  );
}

function concerns({ host, port }: EgressEvent, id: string, names: Record<string, string>, evilPort: number): boolean {
  if (host.toLowerCase().includes(id)) return true;
  if ([names["ADDRESS"], names["ADDRESS6"], names["TARGET"], "ok.example"].includes(host)) return true;
  return host === "127.0.0.1" ? port === evilPort || names["CONTROL"] === String(port) : port === evilPort;
}

/** Nobody answered, and nobody said so. */
const hung = /\[silence\]|\[hangs\]|timed out|TimeoutError|\[never carried out\]/;

export function judge(attack: Attack, found: Evidence): void {
  const words = `${found.outcome.slice(0, 1500)}\n${JSON.stringify(found.audit)}`;
  const success = attack.succeeded(found);
  assert.equal(success, undefined, `came through: ${success}\n${words}`);
  assert.ok(found.milliseconds < (attack.limit ?? 60_000), `took ${found.milliseconds} ms\n${words}`);
  if (attack.silent !== true) assert.doesNotMatch(found.outcome, hung, words);
  assert.notEqual(found.outcome.trim(), "", "the program was told nothing");
  if (attack.told !== undefined) assert.match(found.outcome, attack.told, words);
  if (attack.rule === undefined) return;
  const { rule, verdict = "refused" } = attack;
  assert.ok(
    found.audit.some(
      (event) => event.verdict === verdict && (typeof rule === "string" ? event.rule === rule : rule.test(event.rule)),
    ),
    `no event says ${verdict}, ${String(rule)}\n${words}`,
  );
}

/** Further tests in the sandbox of a table. */
export type Further = (campaign: () => Campaign) => void;

/**
 * One test for each attack of the tables, all on one platform. See `openField` for which tables can share one.
 * @returns the platform with their hosts, for tests of the same file that come after
 */
export function testTables(
  wanted: readonly AttackTable[],
  further: ReadonlyMap<AttackTable, Further> = new Map(),
): () => Promise<Field> {
  let field: Promise<Field> | undefined;
  const opened = () => (field ??= openField(wanted, "on"));
  after(async () => (await field)?.close());
  for (const table of wanted) {
    describe(table.title, { timeout: 600_000 }, () => {
      let campaign: Campaign | undefined;
      const current = (): Campaign => {
        if (campaign === undefined) throw new Error("The attacks were not carried out.");
        return campaign;
      };
      before(async () => {
        campaign = await carryOut(table, await opened());
      });
      after(() => campaign?.close());
      for (const attack of table.attacks) {
        test(`${attack.row}: ${attack.name}`, () => {
          const found = current().evidence.get(attack.name);
          assert.ok(found, "was not carried out");
          judge(attack, found);
        });
      }
      further.get(table)?.(current);
    });
  }
  return opened;
}
