/** A gateway with one directory. */
import type { HttpDirectory, HttpGateway } from "@caisson/protocol";

/** @param directory by default, every name that it finds something for is known */
export async function listen(
  gateway: HttpGateway,
  directory: Pick<HttpDirectory, "find"> & Partial<HttpDirectory>,
): Promise<void> {
  await gateway.listen({
    known: async (name, options) => (await directory.find(name, options)) !== undefined,
    ...directory,
  });
}
