/**
 * For operators: `npm run tokens -- create <org> <name> | list [<org>] | revoke <id> | rotate <id>`, on the database
 * of `CAISSON_HOME` or `DATABASE_URL`, also while the server runs. A new token is the only line on standard output, once.
 */
import { parseArgs } from "node:util";
import { duration, withAccounts, type Accounts } from "./operator.ts";

const usage = `Usage: npm run tokens -- create <org> <name> [--expires <90d>]
       npm run tokens -- list [<org>]
       npm run tokens -- revoke <id>
       npm run tokens -- rotate <id> [--expires <90d>] [--overlap <1h>]`;

await withAccounts(usage, async (accounts) => {
  const { values, positionals } = parseArgs({
    options: { expires: { type: "string" }, overlap: { type: "string" } },
    allowPositionals: true,
  });
  const [verb, first, second, ...more] = positionals;
  if (more.length > 0) return false;
  const lifetime = values.expires === undefined ? undefined : duration(values.expires);
  if (verb === "create" && first !== undefined && second !== undefined) {
    print(await accounts.createToken(first, second, lifetime));
    return true;
  }
  if (second !== undefined) return false;
  if (verb === "list") {
    for (const { id, org, name, state, createdAt, expiresAt } of await accounts.listTokens(first))
      console.log(
        `${id}  ${org}  ${JSON.stringify(name)}  ${state}, created ${createdAt.toISOString()}, expires ${expiresAt?.toISOString() ?? "never"}`,
      );
    return true;
  }
  if (first === undefined) return false;
  if (verb === "revoke") {
    await accounts.revokeToken(first);
    console.log(`${first} was revoked. Its connections end within seconds.`);
    return true;
  }
  if (verb === "rotate") {
    const overlap = values.overlap === undefined ? undefined : duration(values.overlap);
    print(
      await accounts.rotateToken(first, {
        ...(lifetime !== undefined && { lifetime }),
        ...(overlap !== undefined && { overlap }),
      }),
    );
    return true;
  }
  return false;
});

function print({ id, org, token, expiresAt }: Awaited<ReturnType<Accounts["createToken"]>>): void {
  console.log(token);
  console.error(`Token ${id} of ${org}, expires ${expiresAt?.toISOString() ?? "never"}. It is not shown again.`);
}
