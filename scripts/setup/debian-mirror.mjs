/** Finds out which Debian mirror this host uses, so that whatever else comes from Debian comes from the same one. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { SetupFailure } from "./failure.mjs";

/** The field names are apt's, see apt-get(8), `indextargets`. */
const format = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)";

/** @returns {string} VERSION_CODENAME of this host, such as "bookworm" */
export function hostCodename() {
  const release = readFileSync("/etc/os-release", "utf8");
  return /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? "";
}

/**
 * @param {string} listing output of `apt-get indextargets` in the format above
 * @param {string} codename of the host
 * @returns {{ main: string, security: string | null, releases: string[], signedBy: string | null } | null} null without
 *   a Debian archive among the sources
 */
export function chooseMirror(listing, codename) {
  const targets = listing
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [uri = "", release = "", component = "", signedBy = ""] = line.split("|");
      // A field that a source does not set is printed as its name.
      return { uri: uri.replace(/\/+$/, ""), release, component, signedBy: signedBy.startsWith("/") ? signedBy : null };
    })
    .filter(({ uri, component }) => /^https?:\/\//.test(uri) && component === "main");
  const aliases = [codename, "stable", "oldstable", "testing"];
  const main = aliases
    .map((alias) => targets.find(({ release }) => release === alias))
    .find((target) => target !== undefined);
  if (main === undefined) return null;
  return {
    main: main.uri,
    security: targets.find(({ release }) => /(-security|\/updates)$/.test(release))?.uri ?? null,
    releases: targets.map(({ release }) => release),
    signedBy: main.signedBy,
  };
}

/** @throws {SetupFailure} when this host's apt has no Debian archive */
export function hostMirror() {
  let listing = "";
  try {
    listing = execFileSync(
      "apt-get",
      ["indextargets", "--no-release-info", "--format", format, "Created-By: Packages"],
      {
        encoding: "utf8",
      },
    );
  } catch (error) {
    throw new SetupFailure(`apt-get indextargets: ${error.message}`, "Caisson runs on Debian 12 or 13.");
  }
  const mirror = chooseMirror(listing, hostCodename());
  if (mirror === null) {
    throw new SetupFailure(
      "There is no Debian archive (http or https, component main) among the sources of apt.",
      "Add one in /etc/apt/sources.list.d, run `apt-get update`, and start again.",
    );
  }
  return mirror;
}
