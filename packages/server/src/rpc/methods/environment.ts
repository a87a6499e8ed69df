import { rpcMethods as contract } from "@caisson/api";
import { method, type Methods } from "../call.ts";

export const environment: Methods = {
  envGet: method(contract.envGet, async ({ key }, { agent, signal }) => {
    return (await agent.environment.get({ key }, { signal })).value;
  }),
  envSet: method(contract.envSet, async ({ key, value }, { agent, signal }) => {
    await agent.environment.set({ key, value }, { signal });
  }),
  envDelete: method(contract.envDelete, async ({ key }, { agent, signal }) => {
    await agent.environment.delete({ key }, { signal });
  }),
  envToObject: method(contract.envToObject, async (_, { agent, signal }) => {
    return (await agent.environment.list({}, { signal })).values;
  }),
};
