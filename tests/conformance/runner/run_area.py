"""Runs one area with the Python client: run_area.py <area> sync|async <results file>. One JSON line a scenario."""

import asyncio
import faulthandler
import importlib.util
import json
import os
import pathlib
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from scenario import Context, Mode, settle  # noqa: E402


def load(area: str):
    path = pathlib.Path(__file__).parent.parent / "areas" / f"{area.replace('-', '_')}.py"
    spec = importlib.util.spec_from_file_location("area", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def run_one(scenario, context) -> str | None:
    # A hanging call of the synchronous client cannot be cancelled: end with a traceback that shows it.
    faulthandler.dump_traceback_later(scenario.limit + 5, exit=True)
    try:
        await asyncio.wait_for(scenario.run(context), scenario.limit)
    except BaseException:  # CancelledError as well: the client cancels its own tasks in places
        return traceback.format_exc()
    finally:
        faulthandler.cancel_dump_traceback_later()
    return None


async def main(area: str, kind: str, results: str) -> None:
    module = load(area)
    mode = Mode(kind)
    async with mode.shared_sandbox(getattr(module, "SHARED", True)) as sandbox:
        for index, scenario in enumerate(module.SCENARIOS):
            if scenario.only not in (None, kind):
                continue
            start = time.monotonic()
            directory = f"/tmp/scenario-{index}"
            if sandbox is not None:
                await settle(sandbox.fs.mkdir(directory))
            error = await run_one(scenario, Context(mode, sandbox, directory))
            result = {"row": scenario.row, "title": scenario.title, "milliseconds": round((time.monotonic() - start) * 1000)}
            if error is not None:
                result["error"] = error
            with open(results, "a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
    sys.stdout.flush()
    # The client's background thread may still wait for a connection that a scenario ended.
    os._exit(0)


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3]))
