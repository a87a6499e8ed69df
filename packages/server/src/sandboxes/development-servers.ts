/**
 * Development servers refuse names that they do not know, against DNS rebinding. These variables let them answer below the gateway's
 * domain, which nobody can point elsewhere. They know `*.localhost` already.
 */
export function developmentServerHosts(domain: string): Record<string, string> {
  if (domain === "localhost") return {};
  return {
    // Vite 6.1 and later, and what builds on it (Astro, SvelteKit, Nuxt, Angular).
    __VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS: `.${domain}`,
    // Rails 6.1 and later.
    RAILS_DEVELOPMENT_HOSTS: `.${domain}`,
  };
}
