/**
 * Answers what the guest's resolver asks for besides addresses: `GET /dns?name=...&type=SRV` on the egress port. The sandbox's policy decides
 * before anything is asked, as for connections, and every question is recorded.
 */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { canonicalHost } from "@caisson/policy";
import { isRecordType } from "../resolve/records.ts";
import { connectionRecord } from "./connection-record.ts";
import type { Sandbox } from "./sandbox.ts";

export function isLookup(headers: IncomingHttpHeaders): boolean {
  return headers[":method"] === "GET" && headers[":path"]?.startsWith("/dns?") === true;
}

/** Of the guest's answers: what `agent/internal/egress/lookup.go` makes of a status. */
const statuses = { answered: 200, refused: 403, absent: 404, failed: 502 } as const;

/** Never rejects. */
export async function answerLookup(
  sandbox: Sandbox,
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): Promise<void> {
  stream.on("error", () => {});
  stream.on("aborted", () => stream.destroy());
  const query = new URLSearchParams(headers[":path"]!.slice("/dns?".length));
  const [name, type] = [query.get("name") ?? "", query.get("type") ?? ""];
  const record = connectionRecord((event) => sandbox.record(event), name, 53);
  record.protocol = "dns";
  const answer = (status: keyof typeof statuses, rule: string, detail: string, body = "[]"): void => {
    record.bytesIn = body.length;
    record.done(status === "answered" || status === "absent" ? "allowed" : status, rule, `${type}: ${detail}`);
    if (stream.destroyed) return;
    stream.respond({ ":status": statuses[status], "content-type": "application/json" });
    stream.end(body);
    stream.resume();
  };
  try {
    if (!isRecordType(type)) return answer("refused", "malformed-target", "no such type of records");
    // The labels before the name that belong to a service (RFC 2782), to a policy for mail or to a proof of ownership.
    const service = /^(?:_[a-z0-9-]+\.)*/i.exec(name)![0];
    const host = canonicalHost(name.slice(service.length));
    if (host?.kind !== "name") return answer("refused", "malformed-target", "not a hostname");
    if (!sandbox.policy.allowsName(host))
      return answer("refused", "host-not-allowed", `The network policy of this sandbox does not allow ${host.text}.`);
    if (!sandbox.mayLookUp()) return answer("failed", "too-many-requests", "Too many questions. Wait a second.");
    const left = new AbortController();
    stream.once("close", () => left.abort(new Error("The guest has disconnected")));
    const addresses = await sandbox.resolve(host, 53, left.signal);
    if (!addresses.ok && addresses.rule === "internal-address")
      return answer("refused", addresses.rule, addresses.detail);
    // The name that was checked, and not what a name server or a library may take its other forms for.
    const found = await sandbox.lookUp(service + host.text, type, left.signal);
    if (!found.ok) return answer(found.absent ? "absent" : "failed", found.rule, found.detail);
    const body = JSON.stringify(found.records);
    // Programs put the parts of a text together, which have 255 bytes at most.
    const texts = found.records.map((record) => ("texts" in record ? record.texts.join("") : ""));
    if (sandbox.redactor.active && sandbox.redactor.finds([body, ...texts].join("\n")))
      return answer("refused", "secret-returned", "The records hold the value of a secret.");
    answer("answered", "allowed", `${found.records.length} records`, body);
  } catch (error) {
    record.done("failed", "proxy-error", (error as Error).message);
    if (!stream.destroyed) stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }
}
