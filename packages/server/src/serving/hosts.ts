/** Names of apps below the gateway's domain: `<app>.<org>.app`, `<app>-<revision>.<org>.app`, `<app>--<branch>.<org>.app`. */

const suffix = ".app";
const revisionPattern = /^(.+)-([a-z][0-9a-z]{11})$/;

export type AppHost =
  | { readonly kind: "production"; readonly app: string; readonly org: string }
  | { readonly kind: "revision"; readonly app: string; readonly org: string; readonly revision: string }
  | { readonly kind: "branch"; readonly app: string; readonly org: string; readonly branch: string }
  | { readonly kind: "domain"; readonly domain: string };

export function productionLabel(app: string, org: string): string {
  return `${app}.${org}${suffix}`;
}

/** What `readLabel` finds first in `productionLabel`. */
export function productionHost(app: string, org: string): { readonly label: string; readonly host: AppHost } {
  return { label: productionLabel(app, org), host: { kind: "production", app, org } };
}

export function revisionLabel(app: string, org: string, revision: string): string {
  return `${app}-${revision}.${org}${suffix}`;
}

/** @param branch as `branchName` makes it */
export function branchLabel(app: string, org: string, branch: string): string {
  return `${app}--${branch}.${org}${suffix}`;
}

/** A branch as a part of a hostname: what cannot be in one becomes a hyphen. */
export function branchName(branch: string): string {
  const name = branch.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  return name.replaceAll(/^-+|-+$/g, "").slice(0, 30);
}

/**
 * What a name can mean, the likeliest first: an app may be called like an app with a revision. Empty: it is not a name of an app.
 * @param label below the gateway's domain, or a hostname elsewhere with a final dot
 */
export function readLabel(label: string): AppHost[] {
  if (label.endsWith(".")) return [{ kind: "domain", domain: label.slice(0, -1) }];
  if (!label.endsWith(suffix)) return [];
  const [name, org, ...more] = label.slice(0, -suffix.length).split(".");
  if (name === undefined || org === undefined || more.length > 0 || name === "" || org === "") return [];
  const found: AppHost[] = [{ kind: "production", app: name, org }];
  const [, app, revision] = revisionPattern.exec(name) ?? [];
  if (app !== undefined && revision !== undefined) found.push({ kind: "revision", app, org, revision });
  const at = name.indexOf("--");
  if (at > 0) found.push({ kind: "branch", app: name.slice(0, at), org, branch: name.slice(at + 2) });
  return found;
}
