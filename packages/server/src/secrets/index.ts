/** @module Secrets of workloads, encrypted at rest. */
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { SecretStore } from "./store.ts";

export const secretStore = serviceKey<SecretStore>("secrets");

export const secretsSlice: Slice = {
  name: "secrets",
  setup({ db, sealer, services }) {
    services.provide(secretStore, new SecretStore(db, sealer));
    return {};
  },
};
