"""The example of the client's documentation: deploys a sandbox. Arguments: `sync` or `async`, and the slug of the app. Prints the revision."""

import asyncio
import json
import sys

from deno_sandbox import AsyncDenoDeploy, DenoDeploy

mode, app = sys.argv[1:]
program = 'Deno.serve(() => new Response("Hi from sandbox.deploy()"))'


def sync() -> None:
    client = DenoDeploy()
    client.apps.create(slug=app)
    with client.sandbox.create() as sandbox:
        sandbox.fs.write_text_file("main.ts", program)
        build = sandbox.deno.deploy(app, entrypoint="main.ts")
        logs = list(build.logs())
        revision = build.wait()
        print(json.dumps({"id": build.id, "logs": len(logs), "revision": revision}))


async def asynchronous() -> None:
    # Its documentation writes `async with`, which the client does not have.
    client = AsyncDenoDeploy()
    await client.apps.create(slug=app)
    async with client.sandbox.create() as sandbox:
        await sandbox.fs.write_text_file("main.ts", program)
        build = await sandbox.deno.deploy(app, entrypoint="main.ts")
        logs = [line async for line in build.logs()]
        revision = await build.wait()
        print(json.dumps({"id": build.id, "logs": len(logs), "revision": revision}))


if mode == "sync":
    sync()
else:
    asyncio.run(asynchronous())
