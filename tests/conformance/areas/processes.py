"""Rows 25-31: programs."""

import asyncio
import io
import sys

from scenario import Area, rejection, settle, shell, until

area = Area()
SCENARIOS = area.scenarios


async def spawn(sandbox, command, *args, **options):
    options.setdefault("stdout", "piped")
    options.setdefault("stderr", "piped")
    return await settle(sandbox.spawn(command, args=list(args), **options))


@area.scenario(25, "both outputs arrive whole and apart")
async def piped(context):
    process = await spawn(context.sandbox, "bash", "-c", "echo out; echo err >&2")
    assert process.pid > 0
    assert await settle(process.stdout.read()) == b"out\n"
    assert await settle(process.stderr.read()) == b"err\n"
    assert (await settle(process.wait()))["code"] == 0


@area.scenario(25, "four megabytes arrive in order")
async def large(context):
    process = await spawn(context.sandbox, "seq", "1", "600000")
    lines = (await settle(process.stdout.read())).split()
    assert lines == [str(n).encode() for n in range(1, 600001)]


@area.scenario(25, "output can be read line by line while the program runs")
async def lines(context):
    process = await spawn(context.sandbox, "bash", "-c", "echo first; sleep 1000")
    assert await settle(process.stdout.readline()) == b"first\n"
    await shell(context.sandbox, f"kill {process.pid}")
    assert (await settle(process.wait()))["code"] == 143


@area.scenario(26, "inherited output is printed here, null output nowhere")
async def inherit(context):
    before, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())
    captured = sys.stdout.buffer
    try:
        process = await spawn(context.sandbox, "echo", "inherited", stdout="inherit", stderr="null")
        await settle(process.wait())

        async def printed():
            return b"inherited\n" in captured.getvalue()

        await until(5, "the inherited output", printed)
    finally:
        sys.stdout = before
    silent = await spawn(context.sandbox, "bash", "-c", "echo x; echo y >&2", stdout="null", stderr="null")
    assert (await settle(silent.wait()))["success"] is True


@area.scenario(27, "input arrives and ends")
async def stdin(context):
    process = await spawn(context.sandbox, "cat", stdin_data=iter([b"one ", b"two ", b"three"]))
    assert await settle(process.stdout.read()) == b"one two three"


@area.scenario(27, "a megabyte of input survives the round trip")
async def stdin_large(context):
    data = bytes((index * 7) % 251 for index in range(1_000_000))
    process = await spawn(context.sandbox, "cat", stdin_data=io.BytesIO(data))
    assert await settle(process.stdout.read()) == data


@area.scenario(27, "without input a program reads the end at once")
async def stdin_null(context):
    process = await spawn(context.sandbox, "cat")
    assert await settle(process.stdout.read()) == b""


@area.scenario(28, "arguments are passed as they are")
async def arguments(context):
    process = await spawn(context.sandbox, "printf", "%s|", "a b", "", "$HOME", "'\"", "ünï", "*")
    assert (await settle(process.stdout.read())).decode() == "a b||$HOME|'\"|ünï|*|"


@area.scenario(28, "environment, empty environment and directory")
async def environment(context):
    await settle(context.sandbox.env.set("FROM_SANDBOX", "yes"))
    for clear, expected in ((False, "c d,yes"), (True, "c d,")):
        process = await spawn(
            context.sandbox, "/bin/sh", "-c", "echo $NAME,$FROM_SANDBOX,$PWD", env={"NAME": "c d"}, clear_env=clear, cwd=context.directory
        )
        assert (await settle(process.stdout.read())).decode() == f"{expected},{context.directory}\n"
    assert await shell(context.sandbox, "pwd") == "/home/app\n"


@area.scenario(28, "client bug: names with an underscore arrive rewritten")
async def rewritten(context):
    process = await spawn(context.sandbox, "/bin/sh", "-c", "echo [$A_B][$AB]", env={"A_B": "x"})
    assert await settle(process.stdout.read()) == b"[][x]\n"


@area.scenario(29, "a missing program is NotFound")
async def missing(context):
    error = await rejection(lambda: context.sandbox.spawn("no-such-program-anywhere"))
    assert "NotFound" in str(error) and "ENOENT" in str(error), repr(error)


@area.scenario(30, "status: code, failure, signal")
async def status(context):
    for command, code, signal in (("exit 0", 0, None), ("exit 7", 7, None), ("kill -KILL $$", 137, "SIGKILL")):
        process = await spawn(context.sandbox, "bash", "-c", command)
        assert await settle(process.wait()) == {"success": code == 0, "code": code, "signal": signal}


async def alive(context, pid: int) -> bool:
    return await shell(context.sandbox, f"kill -0 {pid} 2>/dev/null && echo yes || echo no") == "yes\n"


@area.scenario(31, "kill ends a process, and a dead one silently", only="async")
async def kill(context):
    process = await spawn(context.sandbox, "sleep", "1000")
    await process.kill()

    async def gone():
        return not await alive(context, process.pid)

    await until(5, "the end of the process", gone)
    await process.kill()


@area.scenario(31, "client bug: after kill the status cannot be waited for", only="async")
async def wait_after_kill(context):
    process = await spawn(context.sandbox, "sleep", "1000")
    await process.kill()
    # The client cancels its own wait, unless the end of the process was told before the answer to `kill`.
    try:
        status = await process.wait()
    except asyncio.CancelledError:
        return
    assert not status["success"], status


@area.scenario(31, "client bug: no kill; leaving the with block kills", only="sync")
async def no_kill(context):
    process = await spawn(context.sandbox, "sleep", "1000")
    assert not hasattr(process, "kill")
    with process:
        assert await alive(context, process.pid)

    async def gone():
        return not await alive(context, process.pid)

    await until(5, "the end of the process", gone)
