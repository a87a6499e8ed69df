/** @module Network policy and rules of secrets: parsing, matching, and the check that both can be enforced. Pure: no I/O, no state. */
export { canonicalHost, formatHostAndPort, parseHostAndPort, type Host } from "./canonical-host.ts";
export { eachForm, formsOf, shortestForm, type Form, type FormName } from "./encoded-forms/forms.ts";
export { parsePattern, patternMatches, patternsOverlap, type HostPattern } from "./pattern.ts";
export { compilePolicy, type Policy } from "./policy.ts";
export { validateEgress } from "./validate.ts";
