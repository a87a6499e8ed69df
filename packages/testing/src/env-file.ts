/** The file with which a platform tells its clients where it listens: one `export NAME=value` a line. */
import { readFile } from "node:fs/promises";

export interface ClientEnvironment {
  readonly DENO_DEPLOY_ENDPOINT: string;
  readonly DENO_SANDBOX_ENDPOINT: string;
  readonly DENO_DEPLOY_TOKEN: string;
  readonly DENO_DEPLOY_ORG: string;
  /** Certificate (PEM file) that visitors of exposed ports trust; absent where the operator brings his own. */
  readonly CAISSON_GATEWAY_CA?: string;
}

const names = ["DENO_DEPLOY_ENDPOINT", "DENO_SANDBOX_ENDPOINT", "DENO_DEPLOY_TOKEN", "DENO_DEPLOY_ORG"] as const;

/** @throws Error when a name is missing */
export async function readEnvFile(path: string): Promise<ClientEnvironment> {
  const text = await readFile(path, "utf8");
  const values = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\s*(?:export\s+)?([A-Z0-9_]+)=(.*)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) values.set(match[1], unquote(match[2].trim()));
  }
  const entries = names.map((name) => {
    const value = values.get(name);
    if (value === undefined || value === "") throw new Error(`${path} does not set ${name}.`);
    return [name, value] as const;
  });
  const authority = values.get("CAISSON_GATEWAY_CA");
  return {
    ...(Object.fromEntries(entries) as unknown as ClientEnvironment),
    ...(authority !== undefined && { CAISSON_GATEWAY_CA: authority }),
  };
}

function unquote(value: string): string {
  const quote = value[0];
  if (value.length >= 2 && (quote === "'" || quote === '"') && value.endsWith(quote)) return value.slice(1, -1);
  return value;
}
