/** Where the editor's image is mounted in a sandbox. */
export const place = "/opt/caisson/vscode";
/** Starts the editor, see images/vscode. */
export const program = `${place}/start.cjs`;
