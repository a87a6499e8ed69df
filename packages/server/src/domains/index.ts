/** @module Domains of users that lead to production of an app. */
import { appsService } from "../apps/index.ts";
import { certificatesService } from "../certificates/index.ts";
import { serviceKey } from "../kernel/services.ts";
import type { Slice } from "../kernel/slice.ts";
import { Domains } from "./domains.ts";
import { up } from "./migrations.ts";
import { readDomain } from "./names.ts";
import { Proof } from "./proof.ts";
import { domainRoutes } from "./routes.ts";
import type { DomainDatabase } from "./tables.ts";

/** What other slices use of domains. */
export interface DomainsService {
  /** Slugs of the organisation and the app that a domain leads to. */
  find(domain: string): Promise<{ readonly org: string; readonly app: string } | undefined>;
  /** Those of an app that are served, in alphabetical order. */
  servedBy(appId: string): Promise<string[]>;
  /** Called when a domain leads elsewhere, or nowhere any more. Must not throw. */
  onChange(listener: () => void): void;
}

export const domainsService = serviceKey<DomainsService>("domains");

export const domainsSlice: Slice = {
  name: "domains",
  migrations: { "2026-12-08-domains": { up } },
  setup({ db: anyDb, config, gateway, log, services }) {
    const apps = services.use(appsService);
    const certificates = services.use(certificatesService);
    const listeners: (() => void)[] = [];
    const domains = new Domains({
      db: anyDb as DomainDatabase,
      proof: new Proof(config.apps.nameServers),
      verify: config.apps.verifyDomains,
      most: config.apps.domains,
      changed(domain) {
        for (const listener of listeners) listener();
        void certificates
          ?.forget(domain)
          .catch((error: unknown) => log.warn({ err: error }, "the certificate of a domain was not removed"));
      },
    });
    apps.onDelete((app) => domains.removeAll(app.id));
    services.provide(domainsService, {
      find: (domain) => domains.find(domain),
      servedBy: async (appId) =>
        (await domains.list(appId)).filter((row) => row.verified_at !== null).map(({ domain }) => domain),
      onChange: (listener) => void listeners.push(listener),
    });
    return {
      routes: domainRoutes({
        apps,
        domains,
        read: (text) => readDomain(text, config.gateway.domain),
        targetOf: (app, org) => (gateway === undefined ? null : `${app}.${org}.app.${config.gateway.domain}`),
      }),
    };
  },
};
