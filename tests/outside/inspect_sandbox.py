"""Inspect AI's self check of sandboxes over the official Python client; see outside.long.test.ts."""
import asyncio
import os
import pytest_asyncio
from deno_sandbox import AsyncDenoDeploy
from inspect_ai.util import ExecResult, OutputLimitExceededError, SandboxEnvironment, SandboxEnvironmentLimits as Limits
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

KINDS = {"No such": FileNotFoundError, "directory": IsADirectoryError, "denied": PermissionError}
WRITE = 'mkdir -p "$(dirname "$1")" && cat > "$1"'

def check(result, file):
    if not result.success:
        raise next((kind for text, kind in KINDS.items() if text in result.stderr), OSError)(f"{file}: {result.stderr}")

class Environment(SandboxEnvironment):
    def __init__(self, sandbox):
        super().__init__()
        self.sandbox = sandbox

    async def exec(self, *arguments, **options):
        status, out, err = await self.run(*arguments, **options)
        return ExecResult(status["success"], status["code"], out.decode(), err.decode())

    async def run(self, cmd, input=None, cwd=None, env=None, user=None, timeout=None, timeout_retry=True, concurrency=True):
        argv = [*(["sudo", "-u", user, "--"] if user else []), *cmd]
        data = input.encode() if isinstance(input, str) else input
        options = {"cwd": os.path.join("/home/app", cwd or ""), **({"stdin": "piped", "stdin_data": iter([data])} if data else {})}
        try:
            child = await self.sandbox.spawn(argv[0], args=argv[1:], env=env, stdout="piped", stderr="piped", **options)
        except Exception as error:
            check(ExecResult("denied" not in str(error).lower(), 126, "", "denied"), str(error))
            return {"success": False, "code": 127}, b"", str(error).encode()
        try:
            parts = asyncio.gather(child.stdout.read(-1), child.stderr.read(-1), child.wait())
            out, err, status = await asyncio.wait_for(parts, timeout)
        except asyncio.TimeoutError:
            await child.kill()
            raise TimeoutError from None
        if max(len(out), len(err)) > Limits.MAX_EXEC_OUTPUT_SIZE and cmd[0] != "cat":
            raise OutputLimitExceededError("10 MiB", out[: Limits.MAX_EXEC_OUTPUT_SIZE].decode(errors="replace"))
        return status, out, err

    async def write_file(self, file, contents):
        check(await self.exec(["sh", "-c", WRITE, "sh", os.path.join("/home/app", file)], input=contents), file)

    async def read_file(self, file, text=True):
        # As the user: the fs API has the rights of root.
        status, data, err = await self.run(["cat", os.path.join("/home/app", file)])
        check(ExecResult(status["success"], 1, "", err.decode()), file)
        if len(data) > Limits.MAX_READ_FILE_SIZE:
            raise OutputLimitExceededError(Limits.MAX_READ_FILE_SIZE_STR, None)
        return data.decode() if text else data

    async def sample_cleanup(self, *arguments): ...

@pytest_asyncio.fixture
async def sandbox_env():
    async with AsyncDenoDeploy().sandbox.create() as sandbox:
        yield Environment(sandbox)
