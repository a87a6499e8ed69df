/** Part of the editor's image: opens the preview that was asked for, and offers a button that stops the editor. */
"use strict";
const vscode = require("vscode");

/** @param {import("vscode").ExtensionContext} context */
exports.activate = (context) => {
  const { CAISSON_VSCODE_PREVIEW: preview, CAISSON_VSCODE_PROCESS_GROUP: group } = process.env;
  if (preview !== undefined) {
    const opened = vscode.commands.executeCommand("simpleBrowser.api.open", vscode.Uri.parse(preview), {
      viewColumn: vscode.ViewColumn.Beside,
      preserveFocus: true,
    });
    Promise.resolve(opened).catch((error) => vscode.window.showErrorMessage(`The preview did not open: ${error}`));
  }
  if (group === undefined) return;
  const stop = vscode.commands.registerCommand("caisson.stopEditor", async () => {
    const yes = "Stop";
    const text = "Stop this VS Code? Files are kept; programs in its terminals end.";
    if ((await vscode.window.showWarningMessage(text, { modal: true }, yes)) !== yes) return;
    process.kill(-Number(group), "SIGTERM");
  });
  const button = vscode.window.createStatusBarItem("caisson.stopEditor", vscode.StatusBarAlignment.Left, -1000);
  button.text = "$(debug-stop) Stop VS Code";
  button.tooltip = "Ends the editor of this sandbox";
  button.command = "caisson.stopEditor";
  button.show();
  context.subscriptions.push(stop, button);
};
