/** The editor's settings.json. */

/** What a browser's editor in a sandbox begins with; the client's values win. */
const defaults: Readonly<Record<string, unknown>> = {
  // The assistants need an account elsewhere, and they are not part of the image.
  "chat.disableAIFeatures": true,
  "extensions.autoCheckUpdates": false,
  "extensions.autoUpdate": false,
  "security.workspace.trust.enabled": false,
  "telemetry.telemetryLevel": "off",
  "update.mode": "none",
  // Otherwise an empty place for the assistants takes a third of the window.
  "workbench.secondarySideBar.defaultVisibility": "hidden",
  "workbench.startupEditor": "none",
};

/** @param given as the client sent them */
export function editorSettings(given: Readonly<Record<string, unknown>> = {}): string {
  return `${JSON.stringify({ ...defaults, ...given }, null, 2)}\n`;
}
