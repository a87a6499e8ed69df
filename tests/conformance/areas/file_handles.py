"""Rows 66-73: open files."""

import asyncio
import datetime

from scenario import Area, rejection, settle, shell, until

area = Area()
SCENARIOS = area.scenarios


@area.scenario(66, "open and create follow their options")
async def open_file(context):
    fs = context.sandbox.fs
    path = f"{context.directory}/file"
    assert "NotFound" in str(await rejection(lambda: fs.open(path)))
    made = await settle(fs.create(path))
    assert await settle(made.write(b"0123456789")) == 10
    assert "AlreadyExists" in str(await rejection(lambda: fs.open(path, write=True, create_new=True)))
    appender = await settle(fs.open(path, append=True))
    await settle(appender.write(b"ab"))
    assert await settle(fs.read_file(path)) == b"0123456789ab"
    cleared = await settle(fs.open(path, write=True, truncate=True))
    assert (await settle(cleared.stat()))["size"] == 0
    fresh = await settle(fs.open(f"{path}-2", write=True, create=True, mode=0o600))
    assert (await settle(fresh.stat()))["mode"] & 0o777 == 0o600
    for file in (made, appender, cleared, fresh):
        await settle(file.close())


@area.scenario(67, "read: parts of a file")
async def read(context):
    await settle(context.sandbox.fs.write_file(f"{context.directory}/r", b"abcdef"))
    file = await settle(context.sandbox.fs.open(f"{context.directory}/r"))
    assert await settle(file.read(4)) == b"abcd"
    assert await settle(file.read(4)) == b"ef"
    await settle(file.close())


@area.scenario(67, "client bug: a read at the end raises TypeError")
async def read_at_end(context):
    await settle(context.sandbox.fs.write_file(f"{context.directory}/r", b""))
    file = await settle(context.sandbox.fs.open(f"{context.directory}/r"))
    assert isinstance(await rejection(lambda: file.read(4)), TypeError)
    await settle(file.close())


@area.scenario(68, "write counts bytes")
async def write(context):
    file = await settle(context.sandbox.fs.create(f"{context.directory}/w"))
    assert await settle(file.write(b"abc")) == 3
    assert await settle(file.write(b"de")) == 2
    await settle(file.close())
    assert await settle(context.sandbox.fs.read_file(f"{context.directory}/w")) == b"abcde"


@area.scenario(69, "seek: from start, current, end")
async def seek(context):
    await settle(context.sandbox.fs.write_file(f"{context.directory}/s", b"0123456789"))
    file = await settle(context.sandbox.fs.open(f"{context.directory}/s"))
    for offset, whence, position, byte in ((3, 0, 3, b"3"), (2, 1, 6, b"6"), (-1, 2, 9, b"9")):
        assert await settle(file.seek(offset, whence)) == position
        assert await settle(file.read(1)) == byte
    await settle(file.close())


@area.scenario(70, "status, truncate, times")
async def status(context):
    file = await settle(context.sandbox.fs.create(f"{context.directory}/t"))
    await settle(file.write(b"0123456789"))
    await settle(file.truncate(4))
    assert (await settle(file.stat()))["size"] == 4
    await settle(file.truncate(None))
    assert (await settle(file.stat()))["size"] == 0
    await settle(file.utime(981173106, 1015218367))
    info = await settle(file.stat())
    mtime = datetime.datetime.fromisoformat(info["mtime"].replace("Z", "+00:00"))
    assert mtime.timestamp() == 1015218367, info
    await settle(file.close())


@area.scenario(71, "sync and sync data")
async def sync(context):
    file = await settle(context.sandbox.fs.create(f"{context.directory}/y"))
    await settle(file.write(b"kept"))
    await settle(file.sync_data())
    await settle(file.sync())
    await settle(file.close())


@area.scenario(72, "lock: taken and released, seen by other programs")
async def lock(context):
    path = f"{context.directory}/l"
    file = await settle(context.sandbox.fs.create(path))

    async def free():
        return await shell(context.sandbox, f"flock -n {path} true && echo free || echo taken")

    await settle(file.lock(True))
    assert await free() == "taken\n"
    await settle(file.unlock())
    assert await free() == "free\n"
    await settle(file.lock(None))
    assert await shell(context.sandbox, f"flock -n -s {path} true && echo shared") == "shared\n"
    await settle(file.close())


@area.scenario(73, "close frees the handle")
async def close(context):
    file = await settle(context.sandbox.fs.create(f"{context.directory}/c"))
    await settle(file.close())
    assert "BadResource" in str(await rejection(lambda: file.stat()))
