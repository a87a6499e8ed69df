import { rpcMethods as contract } from "@caisson/api";
import { memoryPatience, method, type Call, type Methods } from "../call.ts";

/** An answer of a hostile guest, with its strings and entries. Bytes. */
const answerBytes = 4 * 2 ** 20;

async function take(call: Call): Promise<void> {
  call.hold(await call.memory.content.take(answerBytes, { signal: call.signal, deadline: memoryPatience }));
}

export const environment: Methods = {
  envGet: method(contract.envGet, async ({ key }, call) => {
    const { agent, signal } = call;
    await take(call);
    return (await agent.environment.get({ key }, { signal })).value;
  }),
  envSet: method(contract.envSet, async ({ key, value }, { agent, signal }) => {
    await agent.environment.set({ key, value }, { signal });
  }),
  envDelete: method(contract.envDelete, async ({ key }, { agent, signal }) => {
    await agent.environment.delete({ key }, { signal });
  }),
  envToObject: method(contract.envToObject, async (_, call) => {
    const { agent, signal } = call;
    await take(call);
    return (await agent.environment.list({}, { signal })).values;
  }),
};
