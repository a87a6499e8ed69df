import { z } from "zod";
import { method, type Methods } from "../call.ts";

export const environment: Methods = {
  envGet: method(z.object({ key: z.string() }), async ({ key }, { agent, signal }) => {
    return (await agent.environment.get({ key }, { signal })).value;
  }),
  envSet: method(z.object({ key: z.string(), value: z.string() }), async ({ key, value }, { agent, signal }) => {
    await agent.environment.set({ key, value }, { signal });
  }),
  envDelete: method(z.object({ key: z.string() }), async ({ key }, { agent, signal }) => {
    await agent.environment.delete({ key }, { signal });
  }),
  envToObject: method(z.object({}), async (_, { agent, signal }) => {
    return (await agent.environment.list({}, { signal })).values;
  }),
};
