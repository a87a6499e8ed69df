/** Saving and loading machine state without its memory, which is in a file that both sides map. */
import { CaissonError } from "@caisson/protocol";
import type { Qmp } from "./qmp.ts";

const deadlineMs = 30_000;

/** @param path inside the jail */
export async function migrate(qmp: Qmp, direction: "migrate" | "migrate-incoming", path: string): Promise<void> {
  const done = new Promise<void>((resolve, reject) => {
    const finish = (error?: CaissonError) => {
      clearTimeout(timer);
      unsubscribe();
      if (error === undefined) resolve();
      else reject(error);
    };
    const timer = setTimeout(
      () =>
        finish(
          new CaissonError(
            "timeout",
            `The machine's state was not saved or loaded within ${deadlineMs / 1000} seconds.`,
          ),
        ),
      deadlineMs,
    );
    const unsubscribe = qmp.onEvent(({ name, data }) => {
      if (name !== "MIGRATION") return;
      if (data["status"] === "completed") finish();
      if (data["status"] === "failed")
        finish(new CaissonError("internal", "The virtual machine monitor could not save or load the machine's state."));
    });
    void qmp.closed.then(() =>
      finish(
        new CaissonError(
          "unavailable",
          "The virtual machine monitor ended while it saved or loaded the machine's state.",
        ),
      ),
    );
  });
  done.catch(() => undefined);
  // Sent together: QEMU executes them in order, and waiting for each answer would cost a round trip.
  const capabilities = [
    { capability: "x-ignore-shared", state: true },
    { capability: "events", state: true },
  ];
  await Promise.all([
    qmp.execute("migrate-set-capabilities", { capabilities }),
    qmp.execute(direction, { uri: `file:${path}` }, { deadlineMs }),
  ]);
  await done;
}
