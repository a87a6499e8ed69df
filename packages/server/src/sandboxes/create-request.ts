/** What a client asks for when it creates a sandbox (config header, wire contract 2.2), checked against the limits. */
import { check, createConfigSchema, type CreateConfig, type SandboxNetwork } from "@caisson/api";
import { CaissonError, type Config } from "@caisson/protocol";
import { z } from "zod";
import { faultOfLabels } from "../kernel/labels/check.ts";

/** A checked request. */
export interface CreateRequest {
  readonly session: boolean;
  /** Epoch milliseconds; null: none. */
  readonly stopAt: number | null;
  /** MiB. */
  readonly memory: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly allowNet: readonly string[] | undefined;
  readonly network: SandboxNetwork;
  readonly secrets: NonNullable<CreateConfig["secrets"]>;
  readonly env: Readonly<Record<string, string>>;
  readonly root: string | undefined;
  readonly volumes: readonly { readonly volume: string; readonly path: string }[];
}

/** @throws CaissonError `invalid_argument` that names the key and its limit */
export function checkCreateConfig(raw: unknown, config: Config, now: number): CreateRequest {
  const parsed = check(createConfigSchema, raw);
  if (!parsed.success)
    throw new CaissonError(
      "invalid_argument",
      `The sandbox configuration is not valid:\n${z.prettifyError({ issues: [...parsed.faults] })}`,
    );
  const { memory_mb, labels, root, volumes, allow_net, network, secrets, env } = parsed.data;
  const memory = memory_mb ?? config.sandbox.memoryDefault;
  const { memoryMin, memoryMax } = config.sandbox;
  if (memory < memoryMin || memory > memoryMax)
    throw invalid(`memory must be ${memoryMin} to ${memoryMax} MiB, not ${memory}`);
  const labelFault = faultOfLabels(labels ?? {});
  if (labelFault !== undefined) throw invalid(labelFault);
  return {
    ...readLifetime(parsed.data, config, now),
    memory,
    labels: labels ?? {},
    allowNet: allow_net ?? undefined,
    network: network ?? {},
    secrets: secrets ?? {},
    env: env ?? {},
    root: (typeof root === "string" ? root : root?.volume) ?? undefined,
    volumes: Array.isArray(volumes)
      ? volumes
      : Object.entries(volumes ?? {}).map(([path, volume]) => ({ path, volume })),
  };
}

function readLifetime(request: CreateConfig, config: Config, now: number): { session: boolean; stopAt: number | null } {
  if (request.stop_at_ms != null) return { session: false, stopAt: checkStopAt(request.stop_at_ms, config, now) };
  const text = request.timeout ?? "session";
  if (text === "session") return { session: true, stopAt: null };
  const [, amount = "", unit = ""] = /^(\d{1,6})([sm])$/.exec(text) ?? [];
  if (amount === "" || Number(amount) === 0)
    throw invalid('timeout must be "session", or a number with "s" or "m" such as "30s" or "5m"');
  return { session: false, stopAt: checkStopAt(now + Number(amount) * (unit === "m" ? 60_000 : 1000), config, now, 0) };
}

/** The client's clock may differ from ours by this much, milliseconds. */
const clockTolerance = 60_000;

/**
 * @returns the end of life that is granted, epoch milliseconds
 * @throws CaissonError `invalid_argument` when it lies in the past or too far ahead
 */
export function checkStopAt(stopAt: number, config: Config, now: number, tolerance = clockTolerance): number {
  const { maxTimeout } = config.sandbox;
  if (stopAt <= now) throw invalid("the end of the sandbox lies in the past; is this machine's clock right?");
  const latest = now + maxTimeout * 1000;
  if (stopAt > latest + tolerance) throw invalid(`a sandbox may end at most ${maxTimeout / 60} minutes from now`);
  return Math.min(stopAt, latest);
}

function invalid(message: string): CaissonError {
  return new CaissonError("invalid_argument", `Invalid sandbox configuration: ${message}.`);
}
