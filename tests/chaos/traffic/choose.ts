/** Chooses the next call of an actor from what its client has. */
import type { Random } from "../random.ts";
import type { Call } from "./messages.ts";
import type { State } from "./state.ts";

/** Most of one client process. */
const most = { sandboxes: 2, volumes: 2, snapshots: 2 } as const;

export function choose(random: Random, state: State): Call {
  const choices: [number, () => Call][] = [[1, () => ({ op: "list" })]];
  const idle = (name: string) => !state.busy.has(name);
  const sandboxes = [...state.sandboxes.values()].filter(({ label }) => idle(label));
  const usable = sandboxes.filter(({ session, sandbox }) => !session || sandbox !== undefined);
  const free = [...state.volumes].filter((volume) => idle(volume) && !state.attached(volume));
  const volumes = [...state.volumes].filter(idle);
  const snapshots = [...state.snapshots].filter(idle);
  if (state.sandboxes.size + state.creating < most.sandboxes) {
    choices.push([
      state.sandboxes.size === 0 ? 20 : 6,
      () => ({
        op: "create",
        sandbox: state.newName("s"),
        session: random.chance(0.4),
        volumes: free.length > 0 && random.chance(0.7) ? [random.pick(free)] : [],
      }),
    ]);
  }
  if (usable.length > 0) {
    const label = () => random.pick(usable).label;
    choices.push([4, () => ({ op: "run", sandbox: label() })], [3, () => ({ op: "file", sandbox: label() })]);
    // A handshake costs an emulated processor a second.
    choices.push([1, () => ({ op: "fetch", sandbox: label() })]);
  }
  if (usable.length > 1) choices.push([2, () => ({ op: "kill", sandbox: random.pick(usable).label })]);
  const lasting = usable.filter(({ session }) => !session);
  if (lasting.length > 0) {
    choices.push([1, () => ({ op: "connect", sandbox: random.pick(lasting).label })]);
    choices.push([1, () => ({ op: "extend", sandbox: random.pick(lasting).label })]);
  }
  const still = lasting.filter(({ counts }) => !counts);
  if (still.length > 0) choices.push([20, () => ({ op: "count", sandbox: random.pick(still).label })]);
  const hidden = usable.filter(({ exposed }) => exposed < 2);
  if (hidden.length > 0) choices.push([1, () => ({ op: "expose", sandbox: random.pick(hidden).label })]);
  const mounted = usable.filter((own) => own.volumes.length > 0);
  if (mounted.length > 0) {
    choices.push([
      8,
      () => {
        const own = random.pick(mounted);
        const volume = random.pick(own.volumes);
        return { op: "record", sandbox: own.label, volume, file: state.newName("f") };
      },
    ]);
  }
  if (state.volumes.size < most.volumes) {
    const from = snapshots.length > 0 && random.chance(0.4) ? random.pick(snapshots) : null;
    choices.push([
      state.volumes.size === 0 ? 20 : 2,
      () => ({ op: "create-volume", volume: state.newName("v"), from }),
    ]);
  }
  if (free.length > 1) choices.push([1, () => ({ op: "delete-volume", volume: random.pick(free) })]);
  if (volumes.length > 0 && state.snapshots.size < most.snapshots)
    choices.push([3, () => ({ op: "snapshot", snapshot: state.newName("p"), volume: random.pick(volumes) })]);
  if (snapshots.length > 1) choices.push([2, () => ({ op: "delete-snapshot", snapshot: random.pick(snapshots) })]);
  return random.weighted(choices)();
}
