"""Rows 7-9, 98-101: volumes and snapshots."""

import re
import uuid

import httpx
from scenario import Area, rejection, settle, shell

area = Area()
SCENARIOS = area.scenarios
SHARED = False

RUN = uuid.uuid4().hex[:8]
count = 0


def slug(name: str) -> str:
    global count
    count += 1
    return f"{name}-{RUN}-{count}"


async def plain(context, name, capacity="300MB", **options):
    return await settle(context.mode.client.volumes.create(slug(name), "ord", capacity, **options))


async def status_of(action) -> int:
    error = await rejection(action)
    assert isinstance(error, httpx.HTTPStatusError), repr(error)
    return error.response.status_code


@area.scenario(7, "a root volume keeps what is written to the system", limit=90)
async def root_volume(context):
    volume = await plain(context, "root", "1GB", from_snapshot="builtin:debian-13")
    async with context.mode.create(root=volume["slug"]) as sandbox:
        await shell(sandbox, "sudo sh -c 'echo installed > /usr/local/bin/mark'")
    # The sandbox ends with its session; the volume is free when it has ended.
    async with context.mode.create(root=volume["id"]) as sandbox:
        assert await shell(sandbox, "cat /usr/local/bin/mark") == "installed\n"


@area.scenario(8, "a root snapshot serves sandboxes that do not change it", limit=90)
async def root_snapshot(context):
    volume = await plain(context, "soft", "1GB", from_snapshot="builtin:debian-13")
    async with context.mode.create(root=volume["id"]) as sandbox:
        await shell(sandbox, "sudo sh -c 'echo v1 > /opt/version'; sync")
        snapshot = await settle(context.mode.client.volumes.snapshot(volume["id"], slug=slug("image")))
    assert snapshot["is_bootable"]
    for _ in range(2):
        async with context.mode.create(root=snapshot["slug"]) as sandbox:
            assert await shell(sandbox, "cat /opt/version; sudo sh -c 'echo changed > /opt/version'") == "v1\n"


@area.scenario(9, "a volume is mounted for one sandbox at a time and keeps its files", limit=90)
async def mount(context):
    volume = await plain(context, "data")
    async with context.mode.create(volumes={"/data": volume["slug"]}) as sandbox:
        await shell(sandbox, "echo kept > /data/note")

        async def second():
            async with context.mode.create(volumes={"/data": volume["id"]}):
                pass

        assert "409" in str(await rejection(second))
    async with context.mode.create(volumes={"/other/place": volume["id"]}) as sandbox:
        assert await shell(sandbox, "cat /other/place/note") == "kept\n"


@area.scenario(98, "create: the whole object, units, bounds, slugs", limit=60)
async def create(context):
    name = slug("units")
    volume = await settle(context.mode.client.volumes.create(name, "ord", "1GB"))
    assert re.fullmatch(r"vol_ord_[0-9a-z]{20}", volume["id"])
    assert volume == {
        "id": volume["id"],
        "slug": name,
        "region": "ord",
        "capacity": 1000000000,
        "estimated_allocated_size": 8797184,
        "estimated_flattened_size": 8797184,
        "is_bootable": False,
        "base_snapshot": None,
    }
    root = await plain(context, "fresh", "1GB", from_snapshot="builtin:debian-13")
    assert (root["estimated_allocated_size"], root["estimated_flattened_size"]) == (0, 0)
    assert root["is_bootable"] and root["base_snapshot"] is None
    assert (await plain(context, "bytes", 300_000_000))["capacity"] == 300_000_000
    assert (await plain(context, "binary", "1GiB"))["capacity"] == 2**30
    volumes = context.mode.client.volumes
    assert await status_of(lambda: volumes.create(name, "ord", "1GB")) == 409
    for capacity in ("299MB", "21GB", "much", 1):
        assert await status_of(lambda: volumes.create(slug("bad"), "ord", capacity)) == 400


@area.scenario(99, "get, list with search, delete at once", limit=60)
async def find(context):
    volumes = context.mode.client.volumes
    made = [await plain(context, "page") for _ in range(3)]
    assert (await settle(volumes.get(made[0]["id"])))["slug"] == made[0]["slug"]
    assert (await settle(volumes.get(made[0]["slug"]))) == made[0]
    assert await settle(volumes.get("no-such-volume")) is None
    found = await settle(volumes.list(search=f"page-{RUN}"))
    assert [item["id"] for item in found.items] == [volume["id"] for volume in reversed(made)]
    await settle(volumes.delete(made[0]["id"]))
    assert await settle(volumes.get(made[0]["id"])) is None
    assert len((await settle(volumes.list(search=f"page-{RUN}"))).items) == 2
    assert await status_of(lambda: volumes.delete("no-such-volume")) == 404


@area.scenario(100, "snapshot of a mounted volume, and a volume from it", limit=90)
async def snapshot(context):
    volume = await plain(context, "source")
    async with context.mode.create(volumes={"/data": volume["id"]}) as sandbox:
        await shell(sandbox, "echo one > /data/state")
        taken = await settle(context.mode.client.volumes.snapshot(volume["id"], slug=slug("live")))
        await shell(sandbox, "echo two > /data/state")
    assert re.fullmatch(r"snp_ord_[0-9a-z]{20}", taken["id"])
    copy = await plain(context, "copy", from_snapshot=taken["slug"])
    assert copy["base_snapshot"] == {"id": taken["id"], "slug": taken["slug"]}
    async with context.mode.create(volumes={"/data": copy["id"]}) as sandbox:
        assert await shell(sandbox, "cat /data/state") == "one\n"


@area.scenario(101, "snapshots: get, list, delete", limit=60)
async def snapshots(context):
    volume = await plain(context, "base")
    client = context.mode.client
    taken = await settle(client.volumes.snapshot(volume["id"], slug=slug("snap")))
    assert (await settle(client.snapshots.get(taken["slug"])))["id"] == taken["id"]
    assert await settle(client.snapshots.get("no-such-snapshot")) is None
    assert [item["id"] for item in (await settle(client.snapshots.list(search=f"snap-{RUN}"))).items] == [taken["id"]]
    await settle(client.snapshots.delete(taken["id"]))
    assert await settle(client.snapshots.get(taken["id"])) is None
