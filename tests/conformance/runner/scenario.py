"""Scenarios of the Python client: one definition, run with the synchronous and with the asynchronous client.

A scenario is a coroutine. `settle` takes what either client returns: a value, or something to await.
"""

import asyncio
import dataclasses
import importlib.metadata
import inspect
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Awaitable, Callable

from deno_sandbox import AsyncDenoDeploy, DenoDeploy

LATEST = importlib.metadata.version("deno-sandbox") != "0.10.0"
"""The client of today, and not the release that the contract was taken from."""


async def settle(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


class Mode:
    """Which of the two clients, behind one face."""

    def __init__(self, kind: str):
        self.kind = kind
        self.client = self.new_client()

    def new_client(self, **options: Any) -> Any:
        make = DenoDeploy if self.kind == "sync" else AsyncDenoDeploy
        return make(options or None)

    @asynccontextmanager
    async def enter(self, manager: Any):
        if hasattr(manager, "__aenter__"):
            async with manager as value:
                yield value
        else:
            with manager as value:
                yield value

    def create(self, **options: Any):
        return self.enter(self.client.sandbox.create(**options))

    def connect(self, sandbox_id: str):
        return self.enter(self.client.sandbox.connect(sandbox_id))

    @asynccontextmanager
    async def shared_sandbox(self, wanted: bool):
        if not wanted:
            yield None
            return
        # Areas are not about creation: where the host is busy beside the test, a creation may take longer than the client waits.
        async with AsyncExitStack() as stack:
            try:
                sandbox = await stack.enter_async_context(self.create())
            except Exception:
                sandbox = await stack.enter_async_context(self.create())
            yield sandbox


@dataclasses.dataclass
class Context:
    mode: Mode
    sandbox: Any
    directory: str


@dataclasses.dataclass
class Scenario:
    row: int
    title: str
    run: Callable[[Context], Awaitable[None]]
    limit: float = 60.0
    only: str | None = None


class Area:
    """Collects scenarios: `@area.scenario(25, "...")`."""

    def __init__(self) -> None:
        self.scenarios: list[Scenario] = []

    def scenario(self, row: int, title: str, limit: float = 60.0, only: str | None = None):
        def register(run: Callable[[Context], Awaitable[None]]):
            self.scenarios.append(Scenario(row, title, run, limit, only))
            return run

        return register


async def rejection(action: Callable[[], Any]) -> BaseException:
    """The exception that the action raises, now or when awaited."""
    try:
        value = await settle(action())
    except BaseException as error:
        return error
    raise AssertionError(f"expected an exception, got {value!r}")


async def until(seconds: float, what: str, question: Callable[[], Awaitable[Any]]) -> Any:
    end = time.monotonic() + seconds
    while True:
        answer = await question()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        await asyncio.sleep(0.03)


async def shell(sandbox: Any, command: str) -> str:
    """Standard output of a shell command."""
    process = await settle(sandbox.spawn("bash", args=["-c", command], stdout="piped", stderr="piped"))
    output = await settle(process.stdout.read())
    await settle(process.wait())
    return output.decode()
