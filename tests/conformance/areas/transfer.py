"""Rows 74 and 75: copies between here and the sandbox."""

import os
import tempfile

from deno_sandbox.errors import UnknownRpcMethod
from scenario import Area, rejection, settle

area = Area()
SCENARIOS = area.scenarios


@area.scenario(74, "upload: a file, and a tree with a link")
async def upload(context):
    fs = context.sandbox.fs
    with tempfile.TemporaryDirectory() as here:
        data = os.urandom(200_000)
        with open(f"{here}/one", "wb") as file:
            file.write(data)
        await settle(fs.upload(f"{here}/one", f"{context.directory}/one"))
        assert await settle(fs.read_file(f"{context.directory}/one")) == data
        os.makedirs(f"{here}/tree/deep")
        with open(f"{here}/tree/deep/file", "w") as file:
            file.write("deep")
        open(f"{here}/tree/empty", "w").close()
        os.symlink("deep/file", f"{here}/tree/link")
        await settle(fs.upload(f"{here}/tree", f"{context.directory}/to/tree"))
        assert await settle(fs.read_text_file(f"{context.directory}/to/tree/deep/file")) == "deep"
        assert (await settle(fs.stat(f"{context.directory}/to/tree/empty")))["size"] == 0
        assert await settle(fs.read_link(f"{context.directory}/to/tree/link")) == "deep/file"


@area.scenario(75, "client bug: download is not in the contract")
async def download(context):
    assert isinstance(await rejection(lambda: context.sandbox.fs.download("/tmp/nowhere", context.directory)), UnknownRpcMethod)
