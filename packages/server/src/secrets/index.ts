/** @module Secrets of sandboxes, encrypted at rest. */
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { workloads } from "../workloads/index.ts";
import { SecretStore } from "./store.ts";

export const secretStore = serviceKey<SecretStore>("secrets");

export const secretsSlice: Slice = {
  name: "secrets",
  setup({ db, sealer, services }) {
    const secrets = new SecretStore(db, sealer);
    services.use(workloads).register({
      name: "secrets",
      async acquire({ id, kind, egress }) {
        // Those of apps are stored with their revision.
        if (kind === "sandbox") await secrets.insert(id, egress.secrets);
        return {};
      },
      release: (workloadId) => secrets.remove(workloadId),
    });
    services.provide(secretStore, secrets);
    return {};
  },
};
