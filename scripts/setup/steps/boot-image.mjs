/** The initramfs: agent and kernel modules; and the pointer to what is booted now. */
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { agentArtifact, baseArtifact, bootArtifact, currentImage, wantedImage } from "../artifacts.mjs";
import { cpio, directory, executable, file } from "../cpio.mjs";
import { keepNewest, makeWhole } from "../draft.mjs";

/** Asked anew each time: the key of the boot image is known when the base image is there. */
function wanted() {
  const boot = bootArtifact();
  const base = baseArtifact();
  const agent = agentArtifact();
  return { boot, base, agent, current: `${JSON.stringify(wantedImage(), null, 2)}\n` };
}

/** @returns {import("../runner.mjs").Step} */
export function bootImage() {
  return {
    name: "Boot image",
    needed() {
      const { boot, current } = wanted();
      if (!existsSync(boot.initramfs)) return "not built from this agent and base image";
      return existsSync(currentImage) && readFileSync(currentImage, "utf8") === current
        ? null
        : "another one is in use";
    },
    plan: () => ["initramfs of agent and kernel modules"],
    async run() {
      const { boot, base, agent, current } = wanted();
      if (!existsSync(boot.initramfs)) {
        await makeWhole(boot.directory, async (draft) => {
          writeFileSync(join(draft, "initramfs.cpio"), initramfs(join(base.directory, "modules"), agent.file));
        });
      }
      writeFileSync(`${currentImage}.draft`, current);
      renameSync(`${currentImage}.draft`, currentImage);
      keepNewest(dirname(boot.directory), 5, boot.directory);
      keepNewest(dirname(base.directory), 2, base.directory);
    },
  };
}

/** @param {string} modules folder @param {string} agent file @returns {Buffer} */
function initramfs(modules, agent) {
  const folders = ["dev", "proc", "sys", "run", "lib", "lib/modules", "lib/modules/caisson"];
  const files = readdirSync(modules).sort((a, b) => (a < b ? -1 : 1));
  return cpio([
    ...folders.map((name) => ({ name, mode: directory })),
    ...files.map((name) => ({
      name: `lib/modules/caisson/${name}`,
      mode: file,
      content: readFileSync(join(modules, name)),
    })),
    { name: "init", mode: executable, content: readFileSync(agent) },
  ]);
}
