/** The initramfs: agent and kernel modules; and the pointer to what is booted now. */
import { existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { agentArtifact, baseArtifact, bootArtifact, currentImage } from "../artifacts.mjs";
import { cpio, directory, executable, file } from "../cpio.mjs";
import { keepNewest, makeWhole } from "../draft.mjs";

/** @returns {import("../runner.mjs").Step} */
export function bootImage() {
  const boot = bootArtifact();
  const base = baseArtifact();
  const agent = agentArtifact();
  const current = `${JSON.stringify(
    { key: boot.key, base: base.image, kernel: base.kernel, initramfs: boot.initramfs, agentVersion: agent.version },
    null,
    2,
  )}\n`;
  return {
    name: "Boot image",
    needed() {
      if (!existsSync(boot.initramfs)) return "not built from this agent and base image";
      return existsSync(currentImage) && readFileSync(currentImage, "utf8") === current
        ? null
        : "another one is in use";
    },
    plan: () => ["initramfs of agent and kernel modules"],
    async run() {
      if (!existsSync(boot.initramfs)) {
        await makeWhole(boot.directory, async (draft) => {
          const modules = join(base.directory, "modules");
          const folders = ["dev", "proc", "sys", "run", "lib", "lib/modules", "lib/modules/caisson"];
          const archive = cpio([
            ...folders.map((name) => ({ name, mode: directory })),
            ...readdirSync(modules)
              .sort()
              .map((name) => ({
                name: `lib/modules/caisson/${name}`,
                mode: file,
                content: readFileSync(join(modules, name)),
              })),
            { name: "init", mode: executable, content: readFileSync(agent.file) },
          ]);
          writeFileSync(join(draft, "initramfs.cpio"), archive);
        });
      }
      writeFileSync(`${currentImage}.draft`, current);
      renameSync(`${currentImage}.draft`, currentImage);
      keepNewest(dirname(boot.directory), 3, boot.directory);
      keepNewest(dirname(base.directory), 2, base.directory);
    },
  };
}
