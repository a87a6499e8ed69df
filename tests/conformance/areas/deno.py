"""Rows 76, 77, 79, 80: Deno programs."""

import json

from scenario import Area, settle

area = Area()
SCENARIOS = area.scenarios

SERVE = """
Deno.serve({ port: 0, onListen() {} }, (request) => {
  const url = new URL(request.url);
  return new Response("ok", { status: url.pathname === "/odd" ? 418 : 200, headers: { "x-seen": request.method + " " + url.pathname } });
});
"""


@area.scenario(76, "code: TypeScript by default, arguments, input, exit code")
async def code(context):
    process = await settle(
        context.sandbox.deno.run(
            code="const list: string[] = Deno.args; const input = await new Response(Deno.stdin.readable).text(); console.log(JSON.stringify([list, input])); Deno.exit(5);",
            script_args=["one", "two words"],
            stdin_data=iter([b"typed in"]),
            stdout="piped",
            stderr="piped",
        )
    )
    assert json.loads(await settle(process.stdout.read())) == [["one", "two words"], "typed in"]
    assert (await settle(process.wait()))["code"] == 5


@area.scenario(77, "a file with an import")
async def entrypoint(context):
    fs = context.sandbox.fs
    await settle(fs.write_text_file(f"{context.directory}/main.ts", "import { value } from './other.ts'; console.log(value);"))
    await settle(fs.write_text_file(f"{context.directory}/other.ts", "export const value: number = 42;"))
    process = await settle(context.sandbox.deno.run(entrypoint=f"{context.directory}/main.ts", stdout="piped", stderr="piped"))
    assert await settle(process.stdout.read()) == b"42\n"


@area.scenario(79, "ready: true when it serves, false when it ends first")
async def ready(context):
    brief = await settle(context.sandbox.deno.run(code="console.log('done')", stdout="piped", stderr="piped"))
    assert await settle(brief.wait_http_ready()) is False


@area.scenario(80, "fetch goes to the program whatever the host")
async def fetch(context):
    server = await settle(context.sandbox.deno.run(code=SERVE, stdout="piped", stderr="piped"))
    assert await settle(server.wait_http_ready()) is True
    response = await settle(server.fetch("https://example.com/odd?q=1", method="PUT"))
    assert response.status_code == 418, response.status_code
    assert ["x-seen", "PUT /odd"] in [list(pair) for pair in response.headers], response.headers


@area.scenario(80, "client bug: no way to the body")
async def no_body(context):
    server = await settle(context.sandbox.deno.run(code=SERVE, stdout="piped", stderr="piped"))
    assert await settle(server.wait_http_ready()) is True
    response = await settle(server.fetch("http://localhost/"))
    assert not any(hasattr(response, name) for name in ("text", "json", "content", "read", "body"))
