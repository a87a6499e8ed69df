/**
 * Installs and builds what is missing before a command of this repository can run. Needs nothing but Node's built-ins
 * (18 or newer), as it runs before anything is installed. Usage: node scripts/setup.mjs --for start|demo|test|vscode
 */
import { SetupFailure } from "./setup/failure.mjs";
import { runSteps } from "./setup/runner.mjs";
import { baseImage } from "./setup/steps/base-image.mjs";
import { bootImage } from "./setup/steps/boot-image.mjs";
import { debianPackages } from "./setup/steps/debian-packages.mjs";
import { guestAgent } from "./setup/steps/guest-agent.mjs";
import { npmPackages } from "./setup/steps/npm-packages.mjs";
import { sshCrypto } from "./setup/steps/ssh-crypto.mjs";
import { vscodeImage } from "./setup/steps/vscode-image.mjs";

const purpose = process.argv[process.argv.indexOf("--for") + 1];

if (!["start", "demo", "test", "vscode"].includes(purpose)) {
  console.error("Usage: node scripts/setup.mjs --for start|demo|test|vscode");
  process.exit(2);
}

try {
  const steps = [debianPackages(purpose), npmPackages(), sshCrypto(), guestAgent(), baseImage(), bootImage()];
  // It costs minutes, and most installations never show it.
  await runSteps(purpose === "vscode" ? [...steps, vscodeImage()] : steps);
} catch (error) {
  if (!(error instanceof SetupFailure)) throw error;
  console.error(`\nThe set-up failed at: ${error.step ?? "the start"}`);
  console.error(`Cause:  ${error.message.replaceAll("\n", "\n        ")}`);
  if (error.log !== undefined) console.error(`Log:    ${error.log}`);
  console.error(`Remedy: ${error.remedy}`);
  process.exitCode = 1;
}
