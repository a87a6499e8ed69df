"""Inspect AI's self check of sandboxes over the official Python client; see outside.long.test.ts."""

import asyncio
import os
import pytest_asyncio
from deno_sandbox import AsyncDenoDeploy
from inspect_ai.util import ExecResult, OutputLimitExceededError, SandboxEnvironment, SandboxEnvironmentLimits as Limits
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

KINDS = {"No such": FileNotFoundError, "directory": IsADirectoryError, "denied": PermissionError}
WRITE = 'mkdir -p "$(dirname "$1")" && cat > "$1"'
# As the user: the fs API has the rights of root.
LOOK = '[ ! -d "$1" ] || { echo Is a directory >&2; exit 1; }; head -c 1 "$1" > /dev/null && stat -c %s "$1"'

def check(result, file):
    if not result.success:
        raise next((kind for text, kind in KINDS.items() if text in result.stderr), OSError)(f"{file}: {result.stderr}")

class Environment(SandboxEnvironment):
    def __init__(self, sandbox):
        super().__init__()
        self.sandbox = sandbox

    async def exec(self, cmd, input=None, cwd=None, env=None, user=None, timeout=None, timeout_retry=True, concurrency=True):
        argv = [*(["sudo", "-u", user, "--"] if user else []), *cmd]
        data = input.encode() if isinstance(input, str) else input
        options = {"stdin": "piped", "stdin_data": iter([data])} if data else {}
        options |= {"cwd": os.path.join("/home/app", cwd)} if cwd else {}
        try:
            child = await self.sandbox.spawn(argv[0], args=argv[1:], env=env, stdout="piped", stderr="piped", **options)
        except Exception as error:
            check(ExecResult("denied" not in str(error).lower(), 126, "", "denied"), str(error))
            return ExecResult(False, 127, "", str(error))
        parts = asyncio.gather(child.stdout.read(-1), child.stderr.read(-1), child.wait())
        try:
            out, err, status = await asyncio.wait_for(parts, timeout)
        except asyncio.TimeoutError:
            await child.kill()
            raise TimeoutError from None
        if max(len(out), len(err)) > Limits.MAX_EXEC_OUTPUT_SIZE:
            raise OutputLimitExceededError("10 MiB", out[: Limits.MAX_EXEC_OUTPUT_SIZE].decode(errors="replace"))
        return ExecResult(status["success"], status["code"], out.decode(), err.decode())

    async def write_file(self, file, contents):
        data = contents.encode() if isinstance(contents, str) else contents
        check(await self.exec(["sh", "-c", WRITE, "sh", os.path.join("/home/app", file)], input=data), file)

    async def read_file(self, file, text=True):
        path = os.path.join("/home/app", file)
        check(size := await self.exec(["sh", "-c", LOOK, "sh", path]), file)
        if int(size.stdout) > Limits.MAX_READ_FILE_SIZE:
            raise OutputLimitExceededError(Limits.MAX_READ_FILE_SIZE_STR, None)
        data = await self.sandbox.fs.read_file(path)
        return data.decode() if text else data

    async def sample_cleanup(self, *arguments): ...

@pytest_asyncio.fixture
async def sandbox_env():
    async with AsyncDenoDeploy().sandbox.create() as sandbox:
        yield Environment(sandbox)
