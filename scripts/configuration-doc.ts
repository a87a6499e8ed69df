/** Writes docs/configuration.md from the schema, so that both always agree; `--check` fails when they do not. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configSchema } from "@caisson/protocol";
import { z } from "zod";

const path = join(import.meta.dirname, "../docs/configuration.md");

interface Property {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly enum?: readonly string[];
  readonly properties?: Record<string, Property>;
}

function rows(properties: Record<string, Property>, prefix = ""): string[] {
  return Object.entries(properties).flatMap(([name, property]) => {
    if (property.properties && Object.keys(property.properties).length > 0) {
      return rows(property.properties, `${prefix}${name}.`);
    }
    const range = [property.minimum, property.maximum].some(
      (bound) => bound !== undefined && Math.abs(bound) < 2 ** 53 - 1,
    )
      ? `, ${property.minimum ?? ""}..${(property.maximum ?? 2 ** 53) < 2 ** 53 - 1 ? property.maximum : ""}`
      : "";
    const type = property.enum ? property.enum.map((value) => `\`${value}\``).join(", ") : `${property.type}${range}`;
    const fallback = property.default === undefined ? "" : `\`${JSON.stringify(property.default)}\``;
    return [`| \`${prefix}${name}\` | ${type} | ${fallback} | ${property.description ?? ""} |`];
  });
}

const schema = z.toJSONSchema(configSchema, { io: "input" }) as Property;
const text = `# Configuration

\`$CAISSON_HOME/config.json\` (default \`~/.caisson/config.json\`) is read at start. Every key is optional. The server does not start with an
unknown key or a value that is out of range; the error names the key.

| key | type | default | meaning |
|---|---|---|---|
${rows(schema.properties ?? {}).join("\n")}

## Environment

| variable | meaning |
|---|---|
| \`CAISSON_HOME\` | directory with the state of this installation, default \`~/.caisson\` |
| \`CAISSON_CACHE\` | directory with images, templates and the result of the KVM test, default \`~/.cache/caisson\`; shared by all installations of a user |
| \`CAISSON_PORT\`, \`CAISSON_HTTPS_PORT\`, \`CAISSON_SSH_PORT\` | override the file; 0 picks a free port |
| \`DATABASE_URL\` | a PostgreSQL URL; default: SQLite in \`$CAISSON_HOME\` |

When the server is ready, it writes \`$CAISSON_HOME/env\` (mode 600) and prints one line that begins with \`caisson ready\`. A shell can
source the file. It sets the variables that the official clients read: \`DENO_DEPLOY_ENDPOINT\`, \`DENO_SANDBOX_ENDPOINT\`,
\`DENO_DEPLOY_TOKEN\` and \`DENO_DEPLOY_ORG\`. It also sets \`CAISSON_GATEWAY_CA\`, the certificate of the authority that signs for
exposed ports ([previews](previews.md)).
`;

if (process.argv.includes("--check")) {
  if (readFileSync(path, "utf8") !== text) {
    console.error("docs/configuration.md does not match packages/protocol/src/config; run: npm run generate");
    process.exitCode = 1;
  }
} else {
  writeFileSync(path, text);
}
