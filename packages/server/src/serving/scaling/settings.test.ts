import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { AppScaling } from "@caisson/api";
import { configSchema } from "@caisson/protocol";
import { appsService, appsSlice } from "../../apps/index.ts";
import type { Slice } from "../../kernel/slice.ts";
import { openSlices, type TestSlices } from "../../testing/slices.ts";
import { scalingRoutes } from "./routes.ts";
import { ScalingSettings } from "./settings.ts";

const config = { concurrency: 10, targetUtilization: 0.5, maxInstances: 4, instancesPerOrganisation: 6 };
const standard: AppScaling = { min_instances: 0, max_instances: 4, concurrency: 10, target: 5 };

for (const database of ["SQLite", "PostgreSQL"] as const)
  describe(`settings of the scaling of an app: ${database}`, () => {
    let opened: TestSlices;
    let settings: ScalingSettings;
    const slice: Slice = {
      name: "test",
      setup({ db, services }) {
        settings = new ScalingSettings(db, configSchema.parse({ serving: config }).serving);
        return { routes: scalingRoutes(services.use(appsService), settings) };
      },
    };
    before(async () => {
      opened = await openSlices({ database, slices: [appsSlice, slice] });
      assert.equal((await opened.request("POST", "/api/v2/apps", { body: { slug: "one" } })).status, 200);
    });
    after(() => opened.close());

    const ask = async (method: string, body?: unknown) => {
      const answer = await opened.request(method, "/api/v2/apps/one/scaling", { body });
      return { status: answer.status, body: answer.status === 204 ? undefined : ((await answer.json()) as AppScaling) };
    };

    test("they are the server's until somebody sets them, in part or wholly, and again when they are removed", async () => {
      assert.deepEqual(await ask("GET"), { status: 200, body: standard });
      const some = { ...standard, min_instances: 2, target: 1.5 };
      assert.deepEqual(await ask("PUT", { min_instances: 2, target: 1.5, concurrency: null }), {
        status: 200,
        body: some,
      });
      assert.deepEqual((await ask("GET")).body, some);
      assert.equal(settings.kept().length, 1);
      // A minimum above the server's maximum raises that as well; a lower limit of requests lowers their target.
      assert.deepEqual((await ask("PUT", { min_instances: 5, concurrency: 1 })).body, {
        min_instances: 5,
        max_instances: 5,
        concurrency: 1,
        target: 0.5,
      });
      assert.equal((await ask("DELETE")).status, 204);
      assert.deepEqual((await ask("GET")).body, standard);
      assert.deepEqual(settings.kept(), []);
    });

    test("what contradicts itself or the server's limits is refused, and changes nothing", async () => {
      for (const body of [
        { max_instances: 7 },
        { min_instances: 3, max_instances: 2 },
        { target: 11 },
        { max_instances: 0 },
        { min_instances: 1.5 },
        { more: 1 },
      ])
        assert.equal((await ask("PUT", body)).status, 400, JSON.stringify(body));
      assert.deepEqual((await ask("GET")).body, standard);
    });

    test("another organisation sees no app", async () => {
      const other = await opened.request("GET", "/api/v2/apps/one/scaling", { org: { ...opened.org, id: "other" } });
      assert.equal(other.status, 404);
    });
  });
