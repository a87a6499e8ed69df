"""Rows 13, 38, 39: ports of a sandbox with public names."""

import asyncio
import http.client
import json
import os
import ssl
import subprocess
import time
from urllib.parse import urlsplit

from scenario import Area, settle

area = Area()
SCENARIOS = area.scenarios

SERVE = """
Deno.serve({ port: %d, onListen() {} }, async (request) =>
  Response.json({ name: "%s", method: request.method, path: new URL(request.url).pathname, body: await request.text() }));
"""


def visit(url, method="GET", body=None):
    """As a browser does: `*.localhost` is this machine, the certificate is checked."""
    parts = urlsplit(url)
    trust = ssl.create_default_context(cafile=os.environ["CAISSON_GATEWAY_CA"])

    class Connection(http.client.HTTPSConnection):
        def connect(self):
            http.client.HTTPConnection.connect(self)
            self.sock = trust.wrap_socket(self.sock, server_hostname=parts.hostname)

    connection = Connection("127.0.0.1", parts.port, timeout=30)
    try:
        connection.request(method, parts.path or "/", body=body, headers={"host": parts.netloc})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


async def answered(url, *args):
    """The program may need a while to listen, and until then the gateway says so."""
    end = time.monotonic() + 30
    while True:
        status, body = await asyncio.to_thread(visit, url, *args)
        if status != 502:
            return json.loads(body)
        assert time.monotonic() < end, body
        await asyncio.sleep(0.05)


@area.scenario(13, "client bug: no address comes back")
async def port(context):
    async with context.mode.create(port=8080) as sandbox:
        assert sandbox.url is None


@area.scenario(12, "client bug: no address comes back")
async def create_with_ssh(context):
    async with context.mode.create(ssh=True) as sandbox:
        assert sandbox.ssh is None


@area.scenario(40, "a login with the user name alone")
async def expose_ssh(context):
    address = await settle(context.sandbox.expose_ssh())
    get = (lambda key: address[key]) if isinstance(address, dict) else (lambda key: getattr(address, key))
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
    command = ["ssh", *[part for option in options for part in ("-o", option)], "-p", str(get("port"))]
    target = f"{get('username')}@{get('hostname')}"
    done = await asyncio.to_thread(
        subprocess.run, [*command, target, "id -un"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    assert (done.returncode, done.stdout) == (0, b"app\n"), done


@area.scenario(38, "method, path, body")
async def by_port(context):
    url = await settle(context.sandbox.expose_http(port=8081))
    await settle(context.sandbox.deno.run(code=SERVE % (8081, "by port")))
    seen = await answered(url, "PUT", "words")
    assert seen == {"name": "by port", "method": "PUT", "path": "/", "body": "words"}, seen


@area.scenario(39, "a Deno process, on whatever port it listens")
async def by_process(context):
    process = await settle(context.sandbox.deno.run(code=SERVE % (0, "by process")))
    url = await settle(context.sandbox.expose_http(pid=process.pid))
    assert (await answered(url))["name"] == "by process"
