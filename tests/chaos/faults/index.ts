/** Every fault. */
import { corruptBlob, corruptKey, corruptLayer, corruptRecord } from "./corrupt.ts";
import type { Fault } from "./fault.ts";
import { fillHome } from "./fill-home.ts";
import { floodAudit, floodCalls, floodFrames, floodStream, floodUpgrades } from "./flood.ts";
import { floodControl, floodQmp } from "./flood-guest.ts";
import { killClient } from "./kill-client.ts";
import { killMachine } from "./kill-machine.ts";
import { killServer, killServerStarting } from "./kill-server.ts";
import { killWorker } from "./kill-worker.ts";
import { leaveServer } from "./leave-server.ts";
import { lockDatabase } from "./lock-database.ts";
import { shiftClock } from "./shift-clock.ts";
import { stopClient, stopMachine, stopServer, stopWorker } from "./stop.ts";
import { takePort } from "./take-port.ts";

export const faults: readonly Fault[] = [
  killServer,
  killServerStarting,
  leaveServer,
  killWorker,
  killMachine,
  killClient,
  stopServer,
  stopWorker,
  stopMachine,
  stopClient,
  fillHome,
  lockDatabase,
  takePort,
  corruptLayer,
  corruptBlob,
  corruptRecord,
  corruptKey,
  shiftClock,
  floodFrames,
  floodCalls,
  floodAudit,
  floodQmp,
  floodControl,
  floodUpgrades,
  floodStream,
];
