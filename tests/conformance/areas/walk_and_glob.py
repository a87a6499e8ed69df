"""Rows 64 and 65: the client returns the reply as it is and never reads the stream."""

from scenario import Area, settle, shell

area = Area()
SCENARIOS = area.scenarios


@area.scenario(64, "client bug: walk returns a stream id")
async def walk(context):
    await shell(context.sandbox, f"touch {context.directory}/a")
    found = await settle(context.sandbox.fs.walk(context.directory, max_depth=1, include_dirs=False, exts=["ts"]))
    assert list(found) == ["stream_id"] and isinstance(found["stream_id"], int), found
    # Entries nobody reads disturb nothing.
    assert await shell(context.sandbox, "echo fine") == "fine\n"


@area.scenario(65, "client bug: expand_glob returns a stream id")
async def glob(context):
    found = await settle(context.sandbox.fs.expand_glob("*", root=context.directory, include_dirs=True))
    assert list(found) == ["stream_id"] and isinstance(found["stream_id"], int), found
    assert await shell(context.sandbox, "echo fine") == "fine\n"
