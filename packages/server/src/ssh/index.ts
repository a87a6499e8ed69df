/** @module Ways into sandboxes by SSH: user names, and what the SSH gateway asks. */
import { auditService } from "../audit/index.ts";
import type { Slice } from "../kernel/slice.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import { usageService } from "../usage/index.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import { sshKeyRoutes } from "./key-routes.ts";
import { SshKeyStore } from "./key-store.ts";
import { SshKeys } from "./keys.ts";
import { keys as keysTable, up } from "./migrations.ts";
import { recordVisits } from "./record.ts";
import { sshPublicRoutes, sshRoutes } from "./routes.ts";
import { SshUsers } from "./ssh-users.ts";
import { SshStore } from "./store.ts";

export const sshSlice: Slice = {
  name: "ssh",
  migrations: { "2026-11-30-ssh": { up }, "2026-12-06-ssh-keys": { up: keysTable } },
  setup({ db, ssh, metrics, services }) {
    const workloads = services.use(workloadsService);
    const usage = services.use(usageService);
    const audit = services.use(auditService);
    const keys = new SshKeys({ store: new SshKeyStore(db), gateway: ssh, audit });
    const users = new SshUsers(new SshStore(db), ssh, keys);
    workloads.register(users);
    if (ssh !== undefined) recordVisits({ ssh, metrics, workloads, usage, audit });
    return {
      publicRoutes: sshPublicRoutes(ssh),
      routes: (app) => {
        sshRoutes(services.use(sandboxesService), users)(app);
        sshKeyRoutes(keys)(app);
      },
      background: [{ name: "removed SSH keys", interval: 10_000, run: () => keys.compare() }],
      listen: () => ssh?.listen(users) ?? Promise.resolve(),
      start: async () => users.open(),
      stop: () => ssh?.close() ?? Promise.resolve(),
    };
  },
};
