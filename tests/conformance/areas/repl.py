"""Rows 81-85: the Deno REPL."""

from scenario import Area, rejection, settle

area = Area()
SCENARIOS = area.scenarios


@area.scenario(81, "evaluate once")
async def once(context):
    assert await settle(context.sandbox.deno.eval("const x: number = 20; x + 22")) == 42


@area.scenario(82, "start with arguments and directory")
async def start(context):
    repl = await settle(context.sandbox.deno.repl(script_args=["x"], cwd="/tmp", stdout="piped", stderr="piped"))
    assert await settle(repl.eval("console.log('printed'); [Deno.args, Deno.cwd()]")) == [["x"], "/tmp"]
    assert b"printed" in await settle(repl.stdout.readline())
    await settle(repl.close())


@area.scenario(83, "state is kept; undefined is None; errors leave the REPL usable")
async def state(context):
    repl = await settle(context.sandbox.deno.repl())
    assert await settle(repl.eval("const kept = 1;")) is None
    assert await settle(repl.eval("let more = kept + 1;\nmore *= 10;\nmore")) == 20
    assert "RangeError" in str(await rejection(lambda: repl.eval("throw new RangeError('too far')")))
    assert "SyntaxError" in str(await rejection(lambda: repl.eval("syntax error here")))
    assert await settle(repl.eval("kept")) == 1
    await settle(repl.close())


@area.scenario(84, "call by name and by expression")
async def call(context):
    repl = await settle(context.sandbox.deno.repl())
    await settle(repl.eval("function add(a, b) { return a + b; }"))
    assert await settle(repl.call("add", [1, 2])) == 3
    assert await settle(repl.call("async (a, b) => a * b", [6, 7])) == 42
    await settle(repl.close())


@area.scenario(85, "close ends the process; twice is fine")
async def close(context):
    repl = await settle(context.sandbox.deno.repl())
    assert await settle(repl.eval("1")) == 1
    await settle(repl.close())
    await settle(repl.close())
    await rejection(lambda: repl.eval("1"))
