"""Row 37: requests from inside the sandbox, to a server inside it."""

from scenario import Area, rejection, settle, shell, until

area = Area()
SCENARIOS = area.scenarios

SERVER = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = {"/redirect": 302, "/missing": 404, "/empty": 204}.get(self.path, 200)
        self.send_response(status)
        if status == 302: self.send_header("location", "/arrived")
        self.send_header("x-seen", self.command + " " + self.path + " " + str(self.headers.get("x-own")))
        self.send_header("content-length", "0" if status == 302 else "2") if status != 204 else None
        self.end_headers()
        if status not in (204, 302): self.wfile.write(b"ok")
    do_DELETE = do_GET
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), Handler)
open("/tmp/port", "w").write(str(s.server_port))
s.serve_forever()
"""


async def origin(context) -> str:
    port = await shell(context.sandbox, "cat /tmp/port 2>/dev/null")
    if not port:
        await settle(context.sandbox.fs.write_text_file("/tmp/server.py", SERVER))
        await settle(context.sandbox.spawn("python3", args=["/tmp/server.py"], stdout="null", stderr="null"))

        async def ready():
            return await shell(context.sandbox, "cat /tmp/port 2>/dev/null") or None

        port = await until(20, "the server's port", ready)
    return f"http://127.0.0.1:{port}"


async def fetch(context, path, **options):
    return await settle(context.sandbox.fetch(await origin(context) + path, **options))


def header(response, name):
    return dict((key, value) for key, value in response.headers).get(name)


@area.scenario(37, "method, headers, status, redirects")
async def statuses(context):
    response = await fetch(context, "/path?q=1", method="DELETE", headers={"x-own": "yes"})
    assert response.status_code == 200 and response.is_success
    assert header(response, "x-seen") == "DELETE /path?q=1 yes", response.headers
    assert header(await fetch(context, "/redirect"), "x-seen") == "GET /arrived None"
    manual = await fetch(context, "/redirect", redirect="manual")
    assert manual.status_code == 302 and header(manual, "location") == "/arrived"
    assert (await fetch(context, "/missing")).status_code == 404
    assert (await fetch(context, "/empty")).status_code == 204


@area.scenario(37, "nothing listens")
async def refused(context):
    error = await rejection(lambda: context.sandbox.fetch("http://127.0.0.1:1/"))
    assert "TypeError" in str(error), repr(error)


@area.scenario(37, "client bug: no way to the body")
async def no_body(context):
    response = await fetch(context, "/")
    assert not any(hasattr(response, name) for name in ("text", "json", "content", "read", "body"))
    assert await shell(context.sandbox, "echo fine") == "fine\n"
