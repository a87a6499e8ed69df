"""Rows 86-88, 95, 96, 102-107: deployments, their revisions, timelines and logs. One app, and its revisions one after the other."""

import datetime
import re

from scenario import LATEST, Area, rejection, settle, until

area = Area()
SCENARIOS = area.scenarios
LIMIT = 180

state: dict = {}


async def the_app(context):
    if "app" not in state:
        state["app"] = await settle(context.mode.client.apps.create())
    return state["app"]


def main(text: str) -> str:
    return f'console.log("started {text}"); Deno.serve(() => new Response("{text}"));'


async def items(stream) -> list:
    """What a stream of either client gives."""
    stream = await settle(stream)
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


async def deployed(context):
    """What the first scenario deploys; the others look at it."""
    if "first" not in state:
        app = await the_app(context)
        sandbox = context.sandbox
        await settle(sandbox.fs.mkdir(f"{context.directory}/site"))
        await settle(sandbox.fs.write_text_file(f"{context.directory}/site/main.ts", main("one")))
        build = await settle(sandbox.deno.deploy(app["slug"], path=f"{context.directory}/site", entrypoint="main.ts"))
        logs = await items(build.logs())
        state["first"] = (build.id, logs, await settle(build.wait()))
    return state["first"]


async def redeployed(context):
    """The second one: from files that the client sends where the client can do that."""
    if "second" not in state:
        await deployed(context)
        app = await the_app(context)
        client = context.mode.client
        if LATEST:
            asset = {"kind": "file", "encoding": "utf-8", "content": main("two")}
            link = {"kind": "symlink", "target": "main.ts"}
            revision = await settle(
                client.revisions.deploy(
                    app["id"],
                    {"main.ts": asset, "again.ts": link},
                    config={"runtime": {"type": "dynamic", "entrypoint": "again.ts"}},
                    env_vars=[{"key": "OWN", "value": "1"}],
                    labels={"git.branch": "main"},
                    preview=True,
                )
            )
            state["second"] = (revision["id"], await items(client.revisions.progress(revision["id"])))
        else:
            path = f"{context.directory}/second"
            await settle(context.sandbox.fs.mkdir(path))
            await settle(context.sandbox.fs.write_text_file(f"{path}/main.ts", main("two")))
            build = await settle(context.sandbox.deno.deploy(app["slug"], path=path, preview=True))
            await settle(build.wait())
            state["second"] = (build.id, None)
    return state["second"]


@area.scenario(86, "deploy the files of a sandbox", limit=LIMIT)
async def deploy(context):
    revision_id, _, _ = await deployed(context)
    assert re.fullmatch(r"[0-9a-z]{8,20}", revision_id)
    error = await rejection(lambda: context.sandbox.deno.deploy("no-such-app"))
    assert "404" in str(error)


@area.scenario(87, "build logs while it is deployed", limit=LIMIT)
async def logs(context):
    _, lines, _ = await deployed(context)
    assert len(lines) > 0
    for line in lines:
        assert line["level"] in ("info", "error")
        assert isinstance(line["message"], str) and line["timestamp"]


@area.scenario(88, "wait for the revision", limit=LIMIT)
async def wait(context):
    revision_id, _, revision = await deployed(context)
    assert (revision["id"], revision["status"]) == (revision_id, "succeeded"), revision
    assert revision["failure_reason"] is None and revision["build_finished_at"]


@area.scenario(102, "revisions: get, list, by status", limit=LIMIT)
async def get_and_list(context):
    one = (await deployed(context))[0]
    two = (await redeployed(context))[0]
    app = await the_app(context)
    revisions = context.mode.client.revisions
    page = await settle(revisions.list(app["slug"], limit=1))
    assert [item["id"] for item in page.items] == [two] and page.has_more
    rest = await settle(page.get_next_page())
    assert [item["id"] for item in rest.items] == [one] and not rest.has_more
    assert (await settle(revisions.get(one)))["id"] == one
    assert (await settle(revisions.get(app["id"], one)))["id"] == one
    assert await settle(revisions.get("nonexistent-revision-id")) is None
    if LATEST:
        succeeded = await settle(revisions.list(app["id"], status="succeeded"))
        assert [item["id"] for item in succeeded.items] == [two, one]
        assert (await settle(revisions.list(app["id"], status="failed"))).items == []
        kept = await settle(revisions.set_retention(two, "indefinite"))
        assert kept["retention"] == "indefinite"
        assert (await settle(revisions.set_retention(two, "auto")))["retention"] == "auto"


@area.scenario(107, "timelines of an app", limit=LIMIT)
async def timelines(context):
    two = (await redeployed(context))[0]
    app = await the_app(context)
    found = {item["slug"]: item for item in (await settle(context.mode.client.timelines.list(app=app["id"]))).items}
    assert found["production"]["partition"] == {}
    assert found["preview"]["partition"] == {"deno.revision.id": two}
    assert found["production"]["app"] == {"id": app["id"], "slug": app["slug"]}
    assert found["production"]["domains"][0]["domain"].startswith(app["slug"] + ".")


if LATEST:

    @area.scenario(95, "deploy files that the client sends", limit=LIMIT)
    async def assets(context):
        revision = await settle(context.mode.client.revisions.get((await redeployed(context))[0]))
        assert revision["status"] == "succeeded", revision
        assert revision["env_vars"] == [{"key": "OWN", "value": "1"}]
        app = await the_app(context)
        bad = {"../main.ts": {"kind": "file", "encoding": "utf-8", "content": ""}}
        error = await rejection(lambda: context.mode.client.revisions.deploy(app["id"], bad))
        assert error.status_code == 400, repr(error)

    @area.scenario(104, "progress: every stage, up to the end", limit=LIMIT)
    async def progress(context):
        last = (await redeployed(context))[1][-1]
        for stage in ("queued", "preparing", "installing", "building", "deploying"):
            assert last[stage]["status"] in ("succeeded", "skipped"), last

    @area.scenario(105, "build logs again, by step", limit=LIMIT)
    async def again(context):
        revision_id, lines, _ = await deployed(context)
        revisions = context.mode.client.revisions
        stored = await items(revisions.build_logs(revision_id))
        assert [line["message"] for line in stored] == [line["message"] for line in lines]
        step = stored[0]["step"]
        assert await items(revisions.build_logs(revision_id, step=step)) == [item for item in stored if item["step"] == step]

    @area.scenario(106, "timelines of a revision; delete: not the active one", limit=LIMIT)
    async def delete(context):
        one = (await deployed(context))[0]
        two = (await redeployed(context))[0]
        revisions = context.mode.client.revisions
        assert await settle(revisions.timelines(one)) == []
        assert sorted(item["slug"] for item in await settle(revisions.timelines(two))) == ["preview", "production"]
        error = await rejection(lambda: revisions.delete(two))
        assert (error.status_code, error.code) == (409, "REVISION_ACTIVE"), repr(error)
        await settle(revisions.delete(one))
        assert (await settle(revisions.get(one)))["deleted_at"]


@area.scenario(96, "what the app printed", limit=LIMIT)
async def printed(context):
    two = (await redeployed(context))[0]
    app = await the_app(context)
    apps = context.mode.client.apps
    now = datetime.datetime.now(datetime.timezone.utc)
    start = (now - datetime.timedelta(hours=1)).isoformat()

    async def found():
        return (await settle(apps.logs(app["id"], start=start, revision_id=two, query="STARTED two")))["logs"]

    line = (await until(20, "the line of the app", found))[0]
    assert (line["level"], line["revision_id"]) == ("info", two)
    if LATEST:
        end = datetime.datetime.now(datetime.timezone.utc).isoformat()
        streamed = await items(apps.logs_stream(app["id"], start=start, end=end, revision_id=two))
        assert "started two" in [item["message"] for item in streamed]


@area.scenario(103, "cancel a build", limit=LIMIT)
async def cancel(context):
    two = (await redeployed(context))[0]
    app = await the_app(context)
    client = context.mode.client
    error = await rejection(lambda: client.revisions.cancel(two))
    status = error.status_code if LATEST else error.response.status_code
    assert status == 409, repr(error)
    if LATEST:
        asset = {"kind": "file", "encoding": "utf-8", "content": main("three")}
        config = {"build": "sleep 300", "runtime": {"type": "dynamic", "entrypoint": "main.ts"}}
        revision = await settle(client.revisions.deploy(app["id"], {"main.ts": asset}, config=config))
        asked = await settle(client.revisions.cancel(revision["id"]))
        assert asked["cancellation_requested_at"]
        await items(client.revisions.progress(revision["id"]))
        ended = await settle(client.revisions.get(revision["id"]))
        assert (ended["status"], ended["failure_reason"]) == ("failed", "cancelled")
    await settle(client.apps.delete(app["id"]))
    assert await settle(client.revisions.get(two)) is None
