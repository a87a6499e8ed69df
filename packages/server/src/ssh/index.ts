/** @module Ways into sandboxes by SSH: user names, and what the SSH gateway asks. */
import { auditService } from "../audit/index.ts";
import type { Slice } from "../kernel/slice.ts";
import { sandboxesService } from "../sandboxes/index.ts";
import { usageService } from "../usage/index.ts";
import { workloads as workloadsService } from "../workloads/index.ts";
import { up } from "./migrations.ts";
import { recordVisits } from "./record.ts";
import { sshPublicRoutes, sshRoutes } from "./routes.ts";
import { SshUsers } from "./ssh-users.ts";
import { SshStore } from "./store.ts";

export const sshSlice: Slice = {
  name: "ssh",
  migrations: { "2026-11-30-ssh": { up } },
  setup({ db, ssh, metrics, services }) {
    const workloads = services.use(workloadsService);
    const usage = services.use(usageService);
    const users = new SshUsers(new SshStore(db), ssh);
    workloads.register(users);
    if (ssh !== undefined) recordVisits({ ssh, metrics, workloads, usage, audit: services.use(auditService) });
    return {
      publicRoutes: sshPublicRoutes(ssh),
      routes: sshRoutes(services.use(sandboxesService), users),
      listen: () => ssh?.listen(users) ?? Promise.resolve(),
      start: async () => users.open(),
      stop: () => ssh?.close() ?? Promise.resolve(),
    };
  },
};
