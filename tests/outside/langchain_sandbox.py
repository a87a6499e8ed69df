"""LangChain's tests of sandboxes over the official Python client; see outside.long.test.ts."""

import pytest
from deepagents.backends.protocol import ExecuteResponse, FileDownloadResponse, FileUploadResponse
from deepagents.backends.sandbox import BaseSandbox
from deno_sandbox import DenoDeploy
from langchain_tests.integration_tests import SandboxIntegrationTests


class Backend(BaseSandbox):
    def __init__(self, sandbox):
        self.sandbox = sandbox

    @property
    def id(self):
        return self.sandbox.id

    def execute(self, command, *, timeout=None):
        limit = ["timeout", "-k", "1", str(timeout)] if timeout else []
        argv = [*limit, "bash", "-c", f"exec 2>&1; {command}"]
        child = self.sandbox.spawn(argv[0], args=argv[1:], stdout="piped", stderr="null")
        output = child.stdout.read(-1)
        return ExecuteResponse(output=output.decode("utf8", "replace"), exit_code=child.wait()["code"], truncated=False)

    def upload_files(self, files):
        return [FileUploadResponse(path=path, error=self._upload(path, content)) for path, content in files]

    def _upload(self, path, content):
        if not path.startswith("/"):
            return "invalid_path"
        self.sandbox.fs.mkdir(path.rpartition("/")[0] or "/", recursive=True)
        self.sandbox.fs.write_file(path, content)

    def download_files(self, paths):
        return [self._download(path) for path in paths]

    def _download(self, path):
        if not path.startswith("/"):
            return FileDownloadResponse(path=path, error="invalid_path")
        # Not fs.read_file: the client ends its connection at a reply of more than 1 MiB.
        child = self.sandbox.spawn("cat", args=[path], stdout="piped", stderr="piped")
        content, said = child.stdout.read(-1), child.stderr.read(-1).decode()
        if child.wait()["code"] == 0:
            return FileDownloadResponse(path=path, content=content)
        kinds = {"No such": "file_not_found", "directory": "is_directory", "denied": "permission_denied"}
        return FileDownloadResponse(path=path, error=next((kind for text, kind in kinds.items() if text in said), said))


class TestSandbox(SandboxIntegrationTests):
    @pytest.fixture(scope="class")
    def sandbox(self):
        with DenoDeploy().sandbox.create() as sandbox:
            yield Backend(sandbox)
