/** Records other than addresses, asked of the node's name servers. */
import type { Resolver as DnsResolver } from "node:dns/promises";
import { codeOf } from "@caisson/protocol";

export type RecordType = "SRV" | "TXT" | "MX";

/** One record; `priority` of MX is its preference. */
export type DnsRecord =
  | { readonly priority: number; readonly weight: number; readonly port: number; readonly target: string }
  | { readonly priority: number; readonly target: string }
  | { readonly texts: readonly string[] };

export type Found =
  | { readonly ok: true; readonly records: readonly DnsRecord[] }
  /** `absent`: the name does not exist. */
  | { readonly ok: false; readonly absent: boolean; readonly rule: string; readonly detail: string };

/** Records of one answer, and bytes of one text and of all. Anybody can publish more. */
const most = { records: 64, text: 255, bytes: 16 * 1024 } as const;

export function isRecordType(text: string): text is RecordType {
  return text === "SRV" || text === "TXT" || text === "MX";
}

export async function askRecords(dns: DnsResolver, name: string, type: RecordType): Promise<Found> {
  try {
    const records = (await ask(dns, name, type)).slice(0, most.records);
    if (JSON.stringify(records).length > most.bytes)
      return { ok: false, absent: false, rule: "answer-too-large", detail: `more than ${most.bytes} bytes` };
    return { ok: true, records };
  } catch (error) {
    const code = codeOf(error);
    if (code === "ENODATA") return { ok: true, records: [] };
    const absent = code === "ENOTFOUND";
    return { ok: false, absent, rule: absent ? "name-not-found" : "name-server", detail: String(code) };
  }
}

async function ask(dns: DnsResolver, name: string, type: RecordType): Promise<DnsRecord[]> {
  if (type === "MX") return (await dns.resolveMx(name)).map(({ priority, exchange: target }) => ({ priority, target }));
  if (type === "TXT")
    return (await dns.resolveTxt(name)).map((texts) => ({ texts: texts.map((text) => text.slice(0, most.text)) }));
  return (await dns.resolveSrv(name)).map(({ priority, weight, port, name: target }) => ({
    priority,
    weight,
    port,
    target,
  }));
}
