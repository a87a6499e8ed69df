/** What an attack is, and how one can tell that it came through. */
import type { EgressEvent, EgressVerdict } from "@caisson/protocol";
import type { Listener } from "../world/listener.ts";
import { spellingFound } from "../world/spellings.ts";

/** Hosts that every attack has for itself. `host`: allowed and approved for the key; `other`: allowed only; `evil`: not allowed. */
export type Role = "host" | "other" | "evil";

export interface Evidence {
  readonly id: string;
  /** What the program in the sandbox said. */
  readonly outcome: string;
  readonly milliseconds: number;
  /** The real value of the key. */
  readonly key: string;
  readonly listeners: Readonly<Record<Role, Listener>>;
  /** Events about this attack's hosts and addresses. */
  readonly audit: readonly EgressEvent[];
  /** Names that the lab's name server was asked for. */
  readonly queries: readonly string[];
}

/** Says in a few words how the attack came through, or nothing when it did not. */
export type Success = (evidence: Evidence) => string | undefined;

export interface Attack {
  /** Row of the list of attacks in docs/security/egress.md. */
  readonly row: number;
  readonly name: string;
  /** What runs inside the sandbox (see guest/probe.py); one of the two. */
  readonly python?: string;
  readonly bash?: string;
  /** Python to run instead when the defences are off, for what no policy permits: the same with nothing forbidden in it. */
  readonly control?: string;
  readonly succeeded: Success;
  /** Must be in what the program was told. Absent: any end that is not silence. */
  readonly told?: RegExp;
  /** Rule of an event that must have been recorded. Absent: the attack ends inside the guest, or is no matter of policy. */
  readonly rule?: string | RegExp;
  /** Default `refused`. */
  readonly verdict?: EgressVerdict;
  /** Silence is the right answer: there is nobody who could give another. */
  readonly silent?: boolean;
  /** Milliseconds. Default 20 s: sandboxes without hardware virtualisation are slow. */
  readonly limit?: number;
}

/** Anything at all arrived there. */
export const reached =
  (role: Role): Success =>
  ({ listeners }) =>
    listeners[role].connections > 0 ? `${listeners[role].connections} connections to ${role}` : undefined;

/** Bytes arrived there, of whatever protocol. The proxy connects to an allowed host before it knows what the program speaks. */
export const spokenTo =
  (role: Role): Success =>
  ({ listeners }) =>
    listeners[role].bytes > 0 ? `${listeners[role].bytes} bytes reached ${role}` : undefined;

/** A request, or bytes of one, arrived there; a connection made beforehand does not count. */
export const requested =
  (role: Role): Success =>
  ({ listeners }) =>
    listeners[role].requests.length > 0 || listeners[role].raw !== ""
      ? `${role} got ${listeners[role].requests[0]?.target ?? JSON.stringify(listeners[role].raw.slice(0, 60))}`
      : undefined;

/** So many bytes of HTTP/2 arrived there that they can only be the flood itself. */
export const flooded =
  (role: Role, bytes = 10_000): Success =>
  ({ listeners }) =>
    listeners[role].frames.length > bytes
      ? `${listeners[role].frames.length} bytes of frames reached ${role}`
      : undefined;

/** Bytes that match arrived there, in a head or in a body. */
export const saw =
  (role: Role, pattern: RegExp): Success =>
  ({ listeners: { [role]: listener } }) => {
    const all = [
      listener.raw,
      listener.frames,
      ...listener.requests.map(
        (seen) => `${seen.method} ${seen.target}\n${seen.authority}\n${seen.head}\n${seen.body.toString("latin1")}`,
      ),
    ];
    const found = all.map((text) => pattern.exec(text)?.[0]).find((text) => text !== undefined);
    return found === undefined ? undefined : `${role} saw ${JSON.stringify(found.slice(0, 60))}`;
  };

/** The real value arrived there. */
export const gotKey =
  (role: Role): Success =>
  ({ listeners: { [role]: listener }, key }) =>
    [
      listener.raw,
      listener.frames,
      ...listener.requests.map((seen) => seen.target + seen.head + seen.body.toString("latin1")),
    ].some((text) => spellingFound(text, key) !== undefined)
      ? `${role} got the key`
      : undefined;

/** The guest holds the real value in some spelling. */
export const stolen: Success = ({ outcome, key }) => {
  const spelling = spellingFound(outcome, key);
  return spelling === undefined ? undefined : `the guest holds the key (${spelling})`;
};

/** The program said so. */
export const told =
  (pattern: RegExp): Success =>
  ({ outcome }) =>
    pattern.exec(outcome)?.[0];

/** The first of several ways. */
export const either =
  (...ways: readonly Success[]): Success =>
  (evidence) =>
    ways.map((way) => way(evidence)).find((found) => found !== undefined);

/** What a request that the proxy read is answered: the rule, in the body. */
export function refusal(rule: string): Pick<Attack, "rule" | "told"> {
  return { rule, told: new RegExp(`egress_(refused|failed).*"rule":"${rule}"`) };
}

export interface AttackTable {
  readonly title: string;
  /** Begins the names of this table's hosts. */
  readonly prefix: string;
  readonly attacks: readonly Attack[];
  /** Runs with `npm test -- --full` alone. */
  readonly long?: boolean;
  /** Hosts of `network.passThrough`. */
  readonly passThrough?: readonly string[];
  /** Without a policy, which is not what most tables are about. */
  readonly unrestricted?: boolean;
  /** Run in the sandbox before the probes when the defences are off: plays, inside, what nothing outside can. */
  readonly rehearsal?: string;
  /** Names or addresses that lead to the attack's `evil` host when the defences are off, given the attack's number. */
  readonly leadsToEvil?: (index: number) => readonly string[];
  /** Ranges that are open when the defences are off. */
  readonly openRanges?: readonly string[];
  /** Keys of the operator's `egress` that are set while the defences are on. */
  readonly operator?: Readonly<Record<string, unknown>>;
  /** A name server of the test's, in place of the host's: address by name, or several for one answer after another. */
  readonly zone?: (id: string, index: number) => Readonly<Record<string, readonly string[]>>;
  /** What is wrong with the certificate of `host`. */
  readonly faults?: Readonly<Record<string, "expired" | "wrong-name" | "self-signed" | "unknown-authority">>;
}
