"""Rows 89, 90, 93: calls that cannot succeed, and the end under open work."""

import asyncio

from deno_sandbox.errors import RpcValidationError, UnknownRpcMethod
from scenario import Area, rejection, settle

area = Area()
SCENARIOS = area.scenarios


async def raw(context, method, params):
    call = context.sandbox._rpc.call(method, params)
    return context.sandbox._bridge.run(call) if context.mode.kind == "sync" else await call


@area.scenario(89, "an unknown method")
async def unknown(context):
    assert isinstance(await rejection(lambda: raw(context, "noSuchMethod", {})), UnknownRpcMethod)


@area.scenario(90, "bad parameters")
async def bad(context):
    error = await rejection(lambda: raw(context, "readTextFile", {}))
    assert isinstance(error, RpcValidationError), repr(error)
    assert error.errors[0]["path"] == ["path"] and error.errors[0]["expected"] == "string", error.errors


@area.scenario(93, "the sandbox ends under open work: pending calls and streams end")
async def end(context):
    async with context.mode.create(timeout="5m") as sandbox:
        process = await settle(sandbox.spawn("bash", args=["-c", "echo begin; exec sleep 1000"], stdout="piped", stderr="piped"))
        assert await settle(process.stdout.readline()) == b"begin\n"
        await settle(sandbox.kill())
        # Both must end, whatever they say; the synchronous client would block for ever otherwise.
        await asyncio.wait_for(asyncio.shield(outcome(process.stdout.read)), 10)
        await asyncio.wait_for(asyncio.shield(outcome(process.wait)), 10)
        sandbox_processes = sandbox._processes if context.mode.kind == "async" else sandbox._async._processes
        # The client would send kills over the closed connection.
        sandbox_processes.clear()


async def outcome(action):
    try:
        return await settle(action())
    except Exception as error:
        return error
