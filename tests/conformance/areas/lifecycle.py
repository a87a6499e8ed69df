"""Rows 1-5, 15, 17-24: how sandboxes begin, are found, and end."""

import datetime
import re
import time
import uuid

import httpx
from deno_sandbox.errors import AuthenticationError
from scenario import Area, rejection, settle, shell, until

area = Area()
SCENARIOS = area.scenarios
SHARED = False

LABEL = f"run-{uuid.uuid4().hex[:8]}"


async def listed(context, **options):
    return (await settle(context.mode.client.sandbox.list(**options))).items


async def ended(context, sandbox_id: str) -> None:
    async def stopped():
        return any(entry["id"] == sandbox_id and entry["status"] == "stopped" for entry in await listed(context))

    await until(10, f"the end of {sandbox_id}", stopped)


@area.scenario(1, "create gives a usable sandbox with an id of the contract's form")
async def create(context):
    async with context.mode.create() as sandbox:
        assert re.fullmatch(r"sbx_[a-z]{3}_[0-9a-hjkmnp-z]{20}", sandbox.id), sandbox.id
        assert await shell(sandbox, "echo hello") == "hello\n"


@area.scenario(2, "a session ends with the connection of its creator")
async def session(context):
    async with context.mode.create(timeout="session") as sandbox:
        sandbox_id = sandbox.id
    await ended(context, sandbox_id)


@area.scenario(3, "a duration survives the creator and ends on time")
async def duration(context):
    start = time.monotonic()
    async with context.mode.create(timeout="6s") as sandbox:
        sandbox_id = sandbox.id
        await settle(sandbox.fs.write_text_file("/tmp/mark", "still here"))
    async with context.mode.connect(sandbox_id) as again:
        assert await settle(again.fs.read_text_file("/tmp/mark")) == "still here"
    await ended(context, sandbox_id)
    lasted = time.monotonic() - start
    assert 5.5 < lasted < 9.5, lasted


@area.scenario(4, "the memory asked for is what the sandbox has")
async def memory(context):
    async with context.mode.create(memory_mb=2048) as sandbox:
        total = int(await shell(sandbox, "awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo"))
        assert 1800 < total <= 2048, total
    # This client leaves the check to the server.
    error = await rejection(lambda: context.mode.create(memory_mb=500).__aenter__())
    assert "HTTP 400" in str(error), repr(error)


@area.scenario(5, "labels are kept")
async def labels(context):
    async with context.mode.create(labels={"label": LABEL, "purpose": "it's"}) as sandbox:
        found = await listed(context, labels={"label": LABEL})
        assert [entry["id"] for entry in found] == [sandbox.id], found
        found = await listed(context, labels={"label": LABEL, "purpose": "it's"})
        assert [entry["id"] for entry in found] == [sandbox.id], found
        assert await listed(context, labels={"label": "another"}) == []


@area.scenario(15, "a bad token is refused as such")
async def bad_token(context):
    client = context.mode.new_client(token="ddo_not_a_token")
    error = await rejection(lambda: context.mode.enter(client.sandbox.create()).__aenter__())
    assert isinstance(error, AuthenticationError), repr(error)
    error = await rejection(lambda: client.sandbox.list())
    assert isinstance(error, httpx.HTTPStatusError) and error.response.status_code == 401, repr(error)


@area.scenario(17, "a second connection shares files and environment")
async def connect(context):
    async with context.mode.create() as first:
        async with context.mode.connect(first.id) as second:
            await settle(first.fs.write_text_file("/tmp/shared", "one"))
            assert await settle(second.fs.read_text_file("/tmp/shared")) == "one"
            await settle(second.env.set("SHARED", "two"))
            assert await settle(first.env.get("SHARED")) == "two"


@area.scenario(18, "connect after the end is refused")
async def connect_late(context):
    async with context.mode.create() as sandbox:
        sandbox_id = sandbox.id
    await ended(context, sandbox_id)
    error = await rejection(lambda: context.mode.connect(sandbox_id).__aenter__())
    assert "HTTP 404" in str(error) or "HTTP 410" in str(error), repr(error)


@area.scenario(19, "close ends the connection and the processes it started")
async def close(context):
    async with context.mode.create(timeout="5m") as keeper:
        async with context.mode.connect(keeper.id) as sandbox:
            process = await settle(sandbox.spawn("sleep", args=["1000"], stdout="piped", stderr="piped"))
            await settle(sandbox.close())
            await rejection(lambda: sandbox.fs.read_text_file("/etc/hostname"))
        assert (await shell(keeper, f"kill -0 {process.pid} 2>/dev/null && echo alive || echo gone")) == "gone\n"
        await settle(keeper.kill())


@area.scenario(20, "closed is true after close")
async def closed(context):
    async with context.mode.create() as sandbox:
        assert sandbox.closed is False
        await settle(sandbox.close())
        assert sandbox.closed is True


@area.scenario(20, "client bug: closed stays false when the sandbox ends")
async def closed_elsewhere(context):
    async with context.mode.create() as sandbox:
        await settle(sandbox.env.get("HOME"))
        await settle(sandbox.kill())
        assert sandbox.closed is False


@area.scenario(21, "kill ends the sandbox and every connection")
async def kill(context):
    async with context.mode.create(timeout="5m") as sandbox:
        async with context.mode.connect(sandbox.id) as other:
            await settle(sandbox.kill())
            await ended(context, sandbox.id)

            async def refused():
                try:
                    await settle(other.env.get("HOME"))
                except BaseException:
                    return True
                return False

            await until(5, "the other connection's end", refused)


@area.scenario(22, "the timeout can be extended")
async def extend(context):
    async with context.mode.create(timeout="4s") as sandbox:
        end = await settle(sandbox.extend_timeout(300))
        expected = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=300)
        assert abs((end - expected).total_seconds()) < 10, end
        assert await shell(sandbox, "sleep 5; echo through") == "through\n"
        await settle(sandbox.kill())


@area.scenario(23, "list shows running and stopped sandboxes")
async def list_all(context):
    mark = f"{LABEL}-list"
    async with context.mode.create(labels={"mark": mark}) as sandbox:
        [running] = await listed(context, labels={"mark": mark})
        assert running["id"] == sandbox.id and running["status"] == "running" and running["stopped_at"] is None, running
        assert running["region"] == sandbox.id[4:7]
        assert running["created_at"].startswith("20"), running
    await ended(context, sandbox.id)
    [stopped] = await listed(context, labels={"mark": mark})
    assert stopped["stopped_at"] is not None, stopped


@area.scenario(24, "protocol pings are answered")
async def pings(context):
    async with context.mode.create() as sandbox:
        # The client's own keep-alive comes every 20 s; ask sooner, the same way.
        socket = sandbox._rpc._transport._ws

        async def ping():
            await (await socket.ping())

        if context.mode.kind == "sync":
            sandbox._bridge.run(ping())
        else:
            await ping()
