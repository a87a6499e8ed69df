/** All tables of attacks. */
import type { AttackTable } from "../attack.ts";
import { beforehand } from "./beforehand.ts";
import { http2 } from "./http2.ts";
import { identity } from "./identity.ts";
import { names } from "./names.ts";
import { neighbours } from "./neighbours.ts";
import { noOtherWay } from "./no-other-way.ts";
import { passedThrough } from "./passed-through.ts";
import { rebinding } from "./rebinding.ts";
import { redaction } from "./redaction.ts";
import { secrets } from "./secrets.ts";
import { smuggling } from "./smuggling.ts";
import { tunnels } from "./tunnels.ts";
import { uploads } from "./uploads.ts";

export const tables: readonly AttackTable[] = [
  secrets,
  redaction,
  identity,
  names,
  neighbours,
  rebinding,
  noOtherWay,
  tunnels,
  smuggling,
  http2,
  uploads,
  beforehand,
  passedThrough,
];
