/** Changes of the variables of an app or a layer. Pure: from what there is and what is asked for to what there will be. */
import type { EnvVarInit, EnvVarUpdate } from "@caisson/api";
import { CaissonError } from "@caisson/protocol";
import { randomUUID } from "node:crypto";
import { checkContexts, checkKey, checkValue, invalid } from "./rules.ts";

export interface Variable {
  readonly id: string;
  readonly key: string;
  readonly value: string;
  readonly secret: boolean;
  /** Null: all. */
  readonly contexts: readonly string[] | null;
}

export interface VariableLimits {
  readonly count: number;
  /** Of all names and values together. */
  readonly bytes: number;
}

/** @throws CaissonError `invalid_argument`, `resource_exhausted` */
export function newVariables(inits: readonly EnvVarInit[], limits: VariableLimits): Variable[] {
  return checkAll(
    inits.map((init) => create(init)),
    limits,
  );
}

/**
 * A deep merge: variables that no update names stay as they are. An update names one by `id`, or by `key` where no `id` is given; one
 * that names none by `key` adds a variable.
 * @throws CaissonError `invalid_argument`, `not_found`, `resource_exhausted`
 */
export function changedVariables(
  former: readonly Variable[],
  updates: readonly EnvVarUpdate[],
  limits: VariableLimits,
): Variable[] {
  let variables = [...former];
  for (const update of updates) {
    const target = find(variables, update);
    if (update.delete === true) {
      if (target === undefined) throw notFound(update);
      variables = variables.filter((variable) => variable !== target);
    } else if (target === undefined) {
      const { key, value } = update;
      if (key == null || value == null)
        throw invalid(`${key == null ? "an update without `id`" : key} is new, so it needs \`key\` and \`value\``);
      variables.push(create({ ...update, key, value }));
    } else variables = variables.map((variable) => (variable === target ? merge(target, update) : variable));
  }
  return checkAll(variables, limits);
}

function create({ key, value, secret, contexts }: EnvVarInit): Variable {
  checkKey(key);
  return {
    id: randomUUID(),
    key,
    value: checkValue(key, value),
    secret: secret ?? false,
    contexts: checkContexts(key, contexts ?? "all"),
  };
}

function merge(former: Variable, { key, value, secret, contexts }: EnvVarUpdate): Variable {
  const name = key == null ? former.key : checkKey(key);
  if (former.secret && secret === false && value == null)
    throw invalid(`${name} is a secret. It can be made visible only together with a new value`);
  return {
    id: former.id,
    key: name,
    value: value == null ? former.value : checkValue(name, value),
    secret: secret ?? former.secret,
    contexts: contexts == null ? former.contexts : checkContexts(name, contexts),
  };
}

function find(variables: readonly Variable[], update: EnvVarUpdate): Variable | undefined {
  const { id, key, contexts } = update;
  if (id != null) {
    const named = variables.find((variable) => variable.id === id);
    if (named === undefined) throw notFound(update);
    return named;
  }
  if (key == null) throw invalid("an update needs `id` or `key`");
  const named = variables.filter((variable) => variable.key === key);
  if (named.length <= 1) return named[0];
  // Several variables of one name, for different contexts.
  const wanted = contexts == null ? undefined : JSON.stringify(checkContexts(key, contexts));
  const exact = named.find((variable) => JSON.stringify(variable.contexts) === wanted);
  if (exact === undefined)
    throw invalid(`there are ${named.length} variables ${key}; name the one that you mean by its \`id\``);
  return exact;
}

function checkAll(variables: Variable[], { count, bytes }: VariableLimits): Variable[] {
  if (variables.length > count)
    throw exhausted(`${variables.length} environment variables are more than the limit of ${count}.`);
  const size = variables.reduce((sum, { key, value }) => sum + key.length + Buffer.byteLength(value), 0);
  if (size > bytes)
    throw exhausted(`The environment variables take ${size} bytes together, more than the limit of ${bytes}.`);
  const seen = new Map<string, (readonly string[] | null)[]>();
  for (const { key, contexts } of variables) {
    const others = seen.get(key) ?? [];
    if (others.some((other) => overlap(other, contexts)))
      throw invalid(`two variables are named ${key} in the same context`);
    seen.set(key, [...others, contexts]);
  }
  return variables;
}

/** Null: all contexts. */
function overlap(one: readonly string[] | null, other: readonly string[] | null): boolean {
  return one === null || other === null || one.some((context) => other.includes(context));
}

function notFound({ id, key }: EnvVarUpdate): CaissonError {
  return new CaissonError(
    "not_found",
    `No such environment variable: ${JSON.stringify((id ?? key ?? "").slice(0, 140))}.`,
  );
}

function exhausted(message: string): CaissonError {
  return new CaissonError("resource_exhausted", message, { wireCode: "ENV_VAR_LIMIT_REACHED" });
}
