/** Runs a few harmless programs in a clone before anybody owns it, so that what everybody runs first is in memory and translated. */
import type { AgentClient } from "../agent/client.ts";

/** What clients start with: the loader and C library, a shell, its builtins and pipes. */
const commands: readonly (readonly string[])[] = [
  ["true"],
  ["sh", "-c", "true"],
  ["bash", "-c", "true"],
  ["bash", "-c", "echo warm | cat"],
];

export async function warmUp(agent: AgentClient): Promise<void> {
  await agent.machine.warmUp({ commands: commands.map((argv) => ({ argv: [...argv] })) }, { timeoutMs: 30_000 });
}
