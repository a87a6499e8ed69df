/** The guest agent: one static program, the first of every microVM. */
import { existsSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { agentArtifact, agentBuild, agentKey } from "../artifacts.mjs";
import { run } from "../command.mjs";
import { keepNewest, makeWhole } from "../draft.mjs";
import { SetupFailure } from "../failure.mjs";
import { findGo, requiredGo } from "../go.mjs";
import { root } from "../paths.mjs";

/** @returns {import("../runner.mjs").Step} */
export function guestAgent() {
  const artifact = agentArtifact();
  return {
    name: "Guest agent",
    needed: () => (existsSync(artifact.file) ? null : "not built from these sources"),
    plan: () => ["go build of agent/, with the Go modules it needs"],
    async run(progress) {
      const go = findGo();
      if (go === null) {
        throw new SetupFailure(
          `There is no Go ${requiredGo().join(".")} or newer on PATH.`,
          "Install Debian's package golang-go, or put a newer `go` on PATH.",
        );
      }
      await makeWhole(artifact.directory, (draft) =>
        run(
          go,
          [
            "build",
            ...agentBuild,
            "-ldflags",
            `-s -w -X main.version=${artifact.version}`,
            "-o",
            join(draft, "agent"),
            ".",
          ],
          {
            cwd: join(root, "agent"),
            // GOAMD64 v1: the guest's CPU may be emulated.
            env: {
              CGO_ENABLED: "0",
              GOOS: "linux",
              GOARCH: "amd64",
              GOAMD64: "v1",
              GOFLAGS: "",
              GOTOOLCHAIN: "local",
              GOWORK: "off",
            },
            log: "setup-guest-agent",
            progress,
            remedy:
              "If modules could not be downloaded, check the network (go env GOPROXY); otherwise mend the code in agent/.",
          },
        ),
      );
      if (agentKey() !== artifact.key) {
        rmSync(artifact.directory, { recursive: true });
        throw new SetupFailure("The sources of the agent changed while it was compiled.", "Start again.");
      }
      keepNewest(dirname(artifact.directory), 5, artifact.directory);
    },
  };
}
