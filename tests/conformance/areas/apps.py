"""Rows 94, 97: apps, their configuration, and layers of configuration."""

import re
import uuid

import httpx
from scenario import LATEST, Area, rejection, settle

area = Area()
SCENARIOS = area.scenarios
SHARED = False

RUN = uuid.uuid4().hex[:8]
count = 0


def slug(name: str) -> str:
    global count
    count += 1
    return f"{name}-{RUN}-{count}"


async def refused(action, status: int, code: str) -> None:
    error = await rejection(action)
    if LATEST:
        assert (error.status_code, error.code) == (status, code), repr(error)
        assert error.trace_id
    else:
        assert isinstance(error, httpx.HTTPStatusError), repr(error)
        assert error.response.status_code == status


@area.scenario(94, "an app: create, get by id and slug, update, delete")
async def crud(context):
    apps = context.mode.client.apps
    app = await settle(apps.create())
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", app["id"])
    assert await settle(apps.get(app["slug"])) == app
    name = slug("app")
    config = {"runtime": {"type": "dynamic", "entrypoint": "main.ts"}}
    updated = await settle(apps.update(app["id"], slug=name, config=config))
    assert (updated["slug"], updated["config"]) == (name, config)
    assert updated["created_at"] == app["created_at"]
    assert updated["updated_at"] != app["updated_at"]
    await refused(lambda: apps.create(slug=name), 409, "SLUG_ALREADY_IN_USE")
    await settle(apps.delete(app["id"]))
    assert await settle(apps.get(name)) is None


@area.scenario(94, "environment variables: deep merge, secrets that never come back")
async def variables(context):
    apps = context.mode.client.apps
    app = await settle(
        apps.create(env_vars=[{"key": "S", "value": "hidden", "secret": True}, {"key": "URL", "value": "1", "contexts": ["build"]}])
    )
    secret, url = app["env_vars"]
    assert "value" not in secret and secret["secret"]
    assert (url["value"], url["contexts"]) == ("1", ["build"])
    changes = [{"key": "URL", "value": "2"}, {"id": secret["id"], "delete": True}, {"key": "MORE", "value": "3"}]
    updated = await settle(apps.update(app["id"], env_vars=changes))
    assert [(item["key"], item["value"]) for item in updated["env_vars"]] == [("URL", "2"), ("MORE", "3")]
    await settle(apps.delete(app["id"]))


@area.scenario(94, "apps are listed in pages")
async def pages(context):
    apps = context.mode.client.apps
    made = [await settle(apps.create()) for _ in range(3)]
    page = await settle(apps.list(limit=2))
    assert len(page.items) == 2 and page.has_more
    found = [item["id"] for item in page.items]
    while page.has_more:
        page = await settle(page.get_next_page())
        found += [item["id"] for item in page.items]
    assert len(found) == len(set(found))
    wanted = [app["id"] for app in reversed(made)]
    assert [app for app in found if app in wanted] == wanted
    if LATEST:
        labelled = await settle(apps.create(labels={"custom.run": RUN, "custom.b": "2"}))
        listed = await settle(apps.list(labels={"custom.run": RUN}))
        assert [item["id"] for item in listed.items] == [labelled["id"]]
        assert labelled["labels"] == {"custom.run": RUN, "custom.b": "2"}
        made.append(labelled)
    for app in made:
        await settle(apps.delete(app["id"]))


if LATEST:

    @area.scenario(97, "layers: all six operations")
    async def layers(context):
        client = context.mode.client
        name = slug("layer")
        layer = await settle(client.layers.create(name, description="shared", env_vars=[{"key": "A", "value": "1"}]))
        assert (layer["description"], layer["app_count"], layer["layers"]) == ("shared", 0, [])
        assert await settle(client.layers.get(name)) == layer
        assert await settle(client.layers.get("nonexistent-layer-id")) is None
        assert [item["id"] for item in (await settle(client.layers.list(search=name))).items] == [layer["id"]]
        updated = await settle(client.layers.update(layer["id"], env_vars=[{"key": "B", "value": "2"}]))
        assert [item["key"] for item in updated["env_vars"]] == ["A", "B"]
        app = await settle(client.apps.create(layers=[name]))
        assert app["layers"] == [{"id": layer["id"], "slug": name}]
        users = await settle(client.layers.apps(layer["id"]))
        assert users.items == [{"id": app["id"], "slug": app["slug"], "layer_position": 0}]
        assert [item["id"] for item in (await settle(client.apps.list(layer=name))).items] == [app["id"]]
        await refused(lambda: client.layers.delete(name), 409, "INVALID_STATE")
        await settle(client.apps.delete(app["id"]))
        await settle(client.layers.delete(name))
        assert await settle(client.layers.get(name)) is None


@area.scenario(94, "runtime logs of an app that has not run; what is not valid")
async def logs(context):
    client = context.mode.client
    app = await settle(client.apps.create())
    start = "2026-01-01T00:00:00Z"
    assert await settle(client.apps.logs(app["id"], start=start)) == {"logs": [], "next_cursor": None}
    await refused(lambda: client.apps.logs(app["id"], start="yesterday"), 400, "INVALID_ARGUMENT")
    await refused(lambda: client.apps.logs("no-such-app", start=start), 404, "APP_NOT_FOUND")
    assert (await settle(client.revisions.list(app["id"]))).items == []
    assert (await settle(client.timelines.list(app=app["id"]))).items == []
    assert await settle(client.revisions.get("nonexistent-revision-id")) is None
    await settle(client.apps.delete(app["id"]))
