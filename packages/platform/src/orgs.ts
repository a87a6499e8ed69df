/**
 * For operators: `npm run orgs -- create <slug> | list | revoke <slug>`, on the database of `CAISSON_HOME` or
 * `DATABASE_URL`, also while the server runs. `revoke` revokes all tokens of the organisation; its volumes stay.
 */
import { parseArgs } from "node:util";
import { withAccounts } from "./operator.ts";

const usage = "Usage: npm run orgs -- create <slug> [--sandboxes <number>] | list | revoke <slug>";

await withAccounts(usage, async (accounts) => {
  const { values, positionals } = parseArgs({ options: { sandboxes: { type: "string" } }, allowPositionals: true });
  const [verb, slug, ...more] = positionals;
  if (more.length > 0) return false;
  if (verb === "create" && slug !== undefined) {
    await accounts.createOrg(slug, values.sandboxes === undefined ? null : Number(values.sandboxes));
    console.log(`${slug} was created. Make a token for it with: npm run tokens -- create ${slug} <name>`);
    return true;
  }
  if (verb === "list" && slug === undefined) {
    for (const org of await accounts.listOrgs())
      console.log(
        `${org.slug}  created ${org.createdAt.toISOString()}, sandboxes at a time: ${org.concurrentSandboxes ?? "as configured"}, valid tokens: ${org.tokens}`,
      );
    return true;
  }
  if (verb === "revoke" && slug !== undefined) {
    console.log(`${await accounts.revokeOrg(slug)} tokens of ${slug} were revoked.`);
    return true;
  }
  return false;
});
