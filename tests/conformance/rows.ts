/**
 * Every operation of the public client contract that this suite shows, once. The numbers are stable: scenarios, results and the
 * generated table name a row by its number. Numbers missing here belong to egress, which has a suite of its own.
 */

export const columns = ["js-node", "js-deno", "py-sync", "py-async", "py16-sync", "py16-async"] as const;
export type Column = (typeof columns)[number];

/** `py16`: the Python client of today, 0.16.0. */
type Client = "js" | "py" | "py16";

function clientOf(column: Column): Client {
  return column.split("-")[0] as Client;
}

export const areas = [
  "lifecycle",
  "limits",
  "processes",
  "shell",
  "files",
  "walk-and-glob",
  "file-handles",
  "transfer",
  "environment",
  "fetch",
  "exposure",
  "deno",
  "repl",
  "protocol",
  "errors",
  "abort",
  "volumes",
  "apps",
  "revisions",
] as const;
export type Area = (typeof areas)[number];

/** Areas that start machines for builds and for apps, again in each column. */
export const longAreas: ReadonlySet<Area> = new Set(["revisions"]);

/** Areas whose machines take long: in a short run the first client speaks for the others. */
export const slowAreas: ReadonlySet<Area> = new Set(["lifecycle", "exposure", "deno", "repl", "volumes"]);

/** Where the Python client of today differs from the release that the contract was taken from. Elsewhere it is the same code. */
const changedIn16: ReadonlySet<Area> = new Set(["apps", "revisions"]);

export function isOffered(area: Area, column: Column): boolean {
  return clientOf(column) !== "py16" || changedIn16.has(area);
}

/**
 * - `client-bug`: the official client cannot do it; a scenario asserts exactly that.
 * - `partly`: it works, except for a bug of the client's own, which a scenario asserts as well.
 * - `not-offered`: the client has no such operation; there is no scenario.
 */
export interface Exception {
  readonly kind: "client-bug" | "partly" | "not-offered";
  readonly why: string;
}

export interface Row {
  readonly row: number;
  readonly area: Area;
  readonly what: string;
  /** By column, or for both columns of a client. */
  readonly exceptions?: Partial<Record<Column | Client, Exception>>;
}

const notOffered = (why = "the Python client has no such operation"): Exception => ({ kind: "not-offered", why });
const clientBug = (why: string): Exception => ({ kind: "client-bug", why });
const partly = (why: string): Exception => ({ kind: "partly", why });

const noStreams = clientBug("the client returns the raw stream id and never reads the stream");
const shellOnlyInJs = notOffered("the Python client has no shell template");

const onlyLater = { py: notOffered("the Python client of 0.10 has no such operation") };

export const rows: readonly Row[] = [
  { row: 1, area: "lifecycle", what: "Create a sandbox" },
  { row: 2, area: "lifecycle", what: "Create with timeout `session`: ends with its creator's connection" },
  { row: 3, area: "lifecycle", what: "Create with a duration: survives a disconnect, ends on time" },
  { row: 4, area: "lifecycle", what: "Create with a memory size" },
  { row: 5, area: "lifecycle", what: "Create with labels" },
  { row: 6, area: "environment", what: "Create with environment variables" },
  { row: 7, area: "volumes", what: "Create with a root volume" },
  { row: 8, area: "volumes", what: "Create with a root snapshot" },
  { row: 9, area: "volumes", what: "Create with mounted volumes" },
  {
    row: 12,
    area: "exposure",
    what: "Create with SSH",
    exceptions: { py: clientBug("`ssh` stays None: the client asks for SSH and never for the address") },
  },
  {
    row: 13,
    area: "exposure",
    what: "Create with an exposed port",
    exceptions: { py: clientBug("`url` stays None: the client sends the port and never asks for its address") },
  },
  { row: 15, area: "lifecycle", what: "Create refused: bad token" },
  { row: 16, area: "limits", what: "Create refused: too many sandboxes" },
  { row: 17, area: "lifecycle", what: "Connect to a running sandbox" },
  { row: 18, area: "lifecycle", what: "Connect after the end is refused" },
  { row: 19, area: "lifecycle", what: "Close the connection" },
  {
    row: 20,
    area: "lifecycle",
    what: "Know that the connection has closed",
    exceptions: { py: partly("`closed` turns true by the client's own `close()` only, not when the sandbox ends") },
  },
  { row: 21, area: "lifecycle", what: "Kill a sandbox" },
  { row: 22, area: "lifecycle", what: "Extend the timeout" },
  { row: 23, area: "lifecycle", what: "List sandboxes, by label" },
  { row: 24, area: "lifecycle", what: "Keep-alive pings are answered" },
  { row: 25, area: "processes", what: "Spawn with piped output" },
  { row: 26, area: "processes", what: "Spawn with inherited and with no output" },
  { row: 27, area: "processes", what: "Spawn with input" },
  {
    row: 28,
    area: "processes",
    what: "Spawn with arguments, environment, empty environment, directory",
    exceptions: { py: partly("names with an underscore in `env` of a spawn are rewritten: `A_B` arrives as `AB`") },
  },
  { row: 29, area: "processes", what: "Spawn a program that does not exist" },
  { row: 30, area: "processes", what: "Wait for status and output" },
  {
    row: 31,
    area: "processes",
    what: "Signal a process",
    exceptions: {
      "py-sync": clientBug("the synchronous process has no `kill()`; leaving its `with` block kills it"),
      "py-async": partly("after `kill()` the status can no longer be waited for: the client cancels its own wait"),
    },
  },
  { row: 32, area: "processes", what: "Abort a spawn by AbortSignal", exceptions: { py: notOffered() } },
  { row: 33, area: "processes", what: "Cancel an output stream", exceptions: { py: notOffered() } },
  {
    row: 34,
    area: "shell",
    what: "Shell template: text, JSON, result, throw on failure",
    exceptions: { py: shellOnlyInJs },
  },
  {
    row: 35,
    area: "shell",
    what: "Shell template: sudo, environment, directory, no throw, pipes",
    exceptions: {
      py: shellOnlyInJs,
      js: partly("each setting starts from fresh options, so that only the last one of a chain counts"),
    },
  },
  { row: 36, area: "shell", what: "Shell template: kill by KillController", exceptions: { py: shellOnlyInJs } },
  {
    row: 37,
    area: "fetch",
    what: "Fetch from inside the sandbox",
    exceptions: { py: partly("the client offers neither a request body nor the response's body") },
  },
  { row: 38, area: "exposure", what: "Expose a port over HTTPS" },
  { row: 40, area: "exposure", what: "Expose SSH" },
  { row: 41, area: "exposure", what: "Expose VS Code", exceptions: { py: notOffered() } },
  { row: 39, area: "exposure", what: "Expose a Deno process over HTTPS" },
  { row: 42, area: "environment", what: "Environment: get" },
  { row: 43, area: "environment", what: "Environment: set" },
  {
    row: 44,
    area: "environment",
    what: "Environment: all variables",
    exceptions: { py: partly("names come back in snake case: `HOME` as `h_o_m_e`") },
  },
  { row: 45, area: "environment", what: "Environment: delete" },
  { row: 46, area: "files", what: "Read a file" },
  { row: 47, area: "files", what: "Read a text file" },
  {
    row: 48,
    area: "files",
    what: "Write bytes at once",
    exceptions: { py: notOffered("the Python client streams every write") },
  },
  { row: 49, area: "files", what: "Write a stream of bytes" },
  { row: 50, area: "files", what: "Write a text file" },
  { row: 51, area: "files", what: "Write options: append, create, create new, mode" },
  { row: 52, area: "files", what: "List a directory" },
  { row: 53, area: "files", what: "Remove" },
  { row: 54, area: "files", what: "Make a directory" },
  { row: 55, area: "files", what: "Rename" },
  { row: 56, area: "files", what: "Copy a file" },
  { row: 57, area: "files", what: "Status of a file and of a link" },
  { row: 58, area: "files", what: "Change mode and owner" },
  { row: 59, area: "files", what: "Hard link, symbolic link, link target, real path" },
  { row: 60, area: "files", what: "Temporary directory and file" },
  { row: 61, area: "files", what: "Truncate" },
  { row: 62, area: "files", what: "File mode creation mask" },
  { row: 63, area: "files", what: "Set access and modification time" },
  { row: 64, area: "walk-and-glob", what: "Walk a tree", exceptions: { py: noStreams } },
  { row: 65, area: "walk-and-glob", what: "Expand a glob", exceptions: { py: noStreams } },
  { row: 66, area: "file-handles", what: "Open and create" },
  {
    row: 67,
    area: "file-handles",
    what: "Handle: read",
    exceptions: { py: partly("a read at the end of the file raises TypeError inside the client") },
  },
  { row: 68, area: "file-handles", what: "Handle: write" },
  { row: 69, area: "file-handles", what: "Handle: seek" },
  { row: 70, area: "file-handles", what: "Handle: status, truncate, times" },
  { row: 71, area: "file-handles", what: "Handle: sync" },
  { row: 72, area: "file-handles", what: "Handle: lock" },
  { row: 73, area: "file-handles", what: "Handle: close" },
  { row: 74, area: "transfer", what: "Upload files, directories, links" },
  {
    row: 75,
    area: "transfer",
    what: "Download files, directories, links",
    exceptions: { py: clientBug("the client calls a method `download` that the contract does not have") },
  },
  { row: 76, area: "deno", what: "Run code" },
  { row: 77, area: "deno", what: "Run a file" },
  { row: 78, area: "deno", what: "Run and watch", exceptions: { py: notOffered() } },
  { row: 79, area: "deno", what: "Know that a program serves HTTP" },
  {
    row: 80,
    area: "deno",
    what: "Fetch from a program",
    exceptions: { py: partly("the client offers neither a request body nor the response's body") },
  },
  { row: 81, area: "repl", what: "Evaluate once" },
  { row: 82, area: "repl", what: "Start a REPL" },
  { row: 83, area: "repl", what: "REPL: evaluate, state is kept" },
  { row: 84, area: "repl", what: "REPL: call a function" },
  { row: 85, area: "repl", what: "REPL: close" },
  {
    row: 89,
    area: "protocol",
    what: "Unknown method",
    exceptions: { js: notOffered("the JavaScript client calls only methods that it knows; shown on the bare wire") },
  },
  {
    row: 90,
    area: "protocol",
    what: "Bad parameters",
    exceptions: { js: notOffered("the JavaScript client checks parameters itself; shown on the bare wire") },
  },
  {
    row: 91,
    area: "errors",
    what: "Classes and codes of failed operations",
    exceptions: {
      js: partly(
        "classes that the client's Deno shim lacks, such as IsADirectory, arrive as plain Error; codes are right",
      ),
    },
  },
  {
    row: 92,
    area: "abort",
    what: "Abort reads, writes and fetches",
    exceptions: { py: notOffered("the Python client never aborts") },
  },
  {
    row: 93,
    area: "protocol",
    what: "The sandbox ends under open work: nothing hangs",
  },
  { row: 86, area: "revisions", what: "Deploy the files of a sandbox" },
  { row: 87, area: "revisions", what: "Follow the build logs of a deployment" },
  { row: 88, area: "revisions", what: "Wait for the revision of a deployment" },
  { row: 94, area: "apps", what: "Create, get, list, update and delete apps" },
  {
    row: 95,
    area: "revisions",
    what: "Deploy files that the client sends",
    exceptions: { py: notOffered("the Python client of 0.10 deploys from sandboxes only") },
  },
  { row: 96, area: "revisions", what: "Read what an app printed" },
  {
    row: 97,
    area: "apps",
    what: "Layers of configuration: all operations",
    exceptions: { py: notOffered("the Python client of 0.10 has no layers") },
  },
  { row: 102, area: "revisions", what: "Get and list revisions" },
  { row: 103, area: "revisions", what: "Cancel a build" },
  { row: 104, area: "revisions", what: "Follow the progress of a build", exceptions: onlyLater },
  { row: 105, area: "revisions", what: "Read build logs by step and timeline", exceptions: onlyLater },
  { row: 106, area: "revisions", what: "Timelines of a revision; delete a revision", exceptions: onlyLater },
  { row: 107, area: "revisions", what: "List the timelines of an app" },
  { row: 98, area: "volumes", what: "Create a volume: units, bounds, from an image or a snapshot" },
  { row: 99, area: "volumes", what: "Get, list, search and delete volumes" },
  { row: 100, area: "volumes", what: "Snapshot a volume, detached or mounted" },
  { row: 101, area: "volumes", what: "Get, list and delete snapshots" },
];

export function exceptionFor(row: Row, column: Column): Exception | undefined {
  return row.exceptions?.[column] ?? row.exceptions?.[clientOf(column)];
}
