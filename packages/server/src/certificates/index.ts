/** @module Certificates that browsers trust, by ACME. */
import { Gauge } from "prom-client";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { Certificates } from "./certificates.ts";
import { up } from "./migrations.ts";
import { CertificateStore } from "./store.ts";

/** Undefined: `gateway.acme` is not set. */
export const certificatesService = serviceKey<Certificates | undefined>("public certificates");

export const certificatesSlice: Slice = {
  name: "certificates",
  migrations: { "2026-12-04-certificates": { up } },
  setup({ db, config, gateway, sealer, metrics, log, services }) {
    if (config.gateway.acme === undefined || gateway === undefined) {
      services.provide(certificatesService, undefined);
      return {};
    }
    const store = new CertificateStore(db, sealer);
    const certificates = new Certificates({ config: config.gateway, store, log });
    services.provide(certificatesService, certificates);
    new Gauge({
      name: "caisson_certificate_end_seconds",
      help: "When the next certificate by ACME ends, seconds since the epoch.",
      registers: [metrics],
      collect() {
        const ends = [...certificates.ends().values()];
        if (ends.length > 0) this.set(Math.min(...ends) / 1000);
      },
    });
    return {
      // What there is must be there for the first visitor.
      listen: () => certificates.load(),
      background: [{ name: "renewing certificates", interval: 10_000, run: (signal) => certificates.renew(signal) }],
    };
  },
};
