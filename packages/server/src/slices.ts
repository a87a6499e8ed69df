/** Every capability of the server. A slice may use the services of those before it. */
import type { Migration } from "kysely";
import type { Slice } from "./kernel/slice.ts";
import { appsSlice } from "./apps/index.ts";
import { consoleSlice } from "./console/index.ts";
import { certificatesSlice } from "./certificates/index.ts";
import { auditSlice } from "./audit/index.ts";
import { domainsSlice } from "./domains/index.ts";
import { deploySlice } from "./deploy/index.ts";
import { nodesSlice } from "./nodes/index.ts";
import { operationsSlice } from "./operations/index.ts";
import { orgsSlice } from "./orgs/index.ts";
import { previewsSlice } from "./previews/index.ts";
import { revisionsSlice } from "./revisions/index.ts";
import { rpcSlice } from "./rpc/index.ts";
import { sandboxesSlice } from "./sandboxes/index.ts";
import { secretsSlice } from "./secrets/index.ts";
import { servingSlice } from "./serving/index.ts";
import { sshSlice } from "./ssh/index.ts";
import { terminalsSlice } from "./terminals/index.ts";
import { usageSlice } from "./usage/index.ts";
import { volumesSlice } from "./volumes/index.ts";
import { vscodeSlice } from "./vscode/index.ts";
import { workloadsSlice } from "./workloads/index.ts";

export const slices: readonly Slice[] = [
  orgsSlice,
  nodesSlice,
  workloadsSlice,
  secretsSlice,
  volumesSlice,
  usageSlice,
  auditSlice,
  sandboxesSlice,
  rpcSlice,
  consoleSlice,
  certificatesSlice,
  previewsSlice,
  vscodeSlice,
  terminalsSlice,
  sshSlice,
  appsSlice,
  revisionsSlice,
  domainsSlice,
  servingSlice,
  deploySlice,
  operationsSlice,
];

/** Of all slices, by name. */
export const migrations: Readonly<Record<string, Migration>> = Object.assign(
  {},
  ...slices.map((slice) => slice.migrations ?? {}),
);
