/** An extension of VS Code, made as its packager would (a ZIP file with manifest), by Python in the sandbox. */
import type { Sandbox } from "@deno/sandbox";

const id = { publisher: "caisson-test", name: "marker" };

/**
 * When a window has loaded the extension, it writes VS Code's version to `mark`.
 * @param file where the package is to be, in the sandbox
 * @returns the extension's id
 */
export async function packExtension(sandbox: Sandbox, file: string, mark: string): Promise<string> {
  const description = {
    ...id,
    displayName: "Marker",
    version: "1.2.3",
    engines: { vscode: "^1.100.0" },
    main: "./extension.js",
    activationEvents: ["onStartupFinished"],
  };
  const code = `exports.activate = () => require("fs").writeFileSync(${JSON.stringify(mark)}, require("vscode").version);`;
  const manifest = `<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata>
    <Identity Language="en-US" Id="${id.name}" Version="1.2.3" Publisher="${id.publisher}"/>
    <DisplayName>Marker</DisplayName>
    <Description xml:space="preserve">Leaves a mark.</Description>
    <Properties><Property Id="Microsoft.VisualStudio.Code.Engine" Value="^1.100.0"/></Properties>
  </Metadata>
  <Installation><InstallationTarget Id="Microsoft.VisualStudio.Code"/></Installation>
  <Assets><Asset Type="Microsoft.VisualStudio.Code.Manifest" Path="extension/package.json" Addressable="true"/></Assets>
</PackageManifest>`;
  const types = `<?xml version="1.0" encoding="utf-8"?>
<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
  <Default Extension=".json" ContentType="application/json"/><Default Extension=".js" ContentType="application/javascript"/>
  <Default Extension=".vsixmanifest" ContentType="text/xml"/>
</Types>`;
  const files = {
    "extension.vsixmanifest": manifest,
    "[Content_Types].xml": types,
    "extension/package.json": JSON.stringify(description),
    "extension/extension.js": code,
  };
  await sandbox.fs.writeTextFile("/tmp/files.json", JSON.stringify(files));
  await sandbox.fs.writeTextFile(
    "/tmp/pack.py",
    `import json, sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for name, text in json.load(open("/tmp/files.json")).items():
        archive.writestr(name, text)
`,
  );
  await sandbox.sh`python3 /tmp/pack.py ${file}`;
  return `${id.publisher}.${id.name}`;
}
