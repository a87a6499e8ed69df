"""Runs inside the sandbox: reads a list of attacks, carries each out, prints one line of JSON for each.

An attack is a few lines of Python or a shell command. Python sees everything below, and HOST (allowed, the key is approved for
it), OTHER (allowed, not approved), EVIL (not allowed), ADDRESS and ADDRESS6 (not allowed, an address), ID, and KEY: what the
sandbox holds as its key. What it says with say() is the outcome.
"""

import base64, binascii, gzip, json, os, random, socket, ssl, struct, subprocess, sys, threading, time, traceback, zlib
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

KEY = os.environ.get("KEY", "")
LIMIT = 12  # seconds that one attack may take before it counts as hanging
said = threading.local()


def say(*words):
    text = " ".join(w.decode("latin1") if isinstance(w, bytes) else str(w) for w in words)
    said.lines.append(text[:20000])


def tcp(host, port, limit=10):
    return socket.create_connection((host, port), timeout=limit)


def context(verify=True, alpn=None):
    made = ssl.create_default_context()
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


SAME = object()


def tls(host, port=443, sni=SAME, alpn=None, verify=False, session=None, made=None):
    """A TLS connection to host:port. `sni` None: names nobody."""
    name = host if sni is SAME else sni
    made = made or context(verify, alpn)
    return made.wrap_socket(tcp(host, port), server_hostname=name, session=session)


def hear(sock, first=10.0, idle=0.7, most=200000):
    """Everything that comes until the end, until a whole HTTP response is there, or until silence."""
    data = b""
    sock.settimeout(first)
    while len(data) < most:
        try:
            chunk = sock.recv(65536)
        except (TimeoutError, socket.timeout):
            return data + (b"" if data else b"[silence]")
        except OSError as error:
            return data + f"[{type(error).__name__}: {error}]".encode()
        if not chunk:
            return data + b"[end]"
        data += chunk
        sock.settimeout(idle)
    return data


def dechunk(answer):
    """The body of one chunked response put together; everything else as it is."""
    start, split, rest = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in start.lower():
        return answer
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        try:
            count = int(size.split(b";")[0], 16)
        except ValueError:
            return start + split + body + b"[broken]" + size + rest
        if count == 0:
            break
        body, rest = body + rest[:count], rest[count + 2 :]
    return start + split + body + b"\n" + rest


def talk(sock, *parts, pause=0.0, **options):
    """Sends the parts, with a pause between, then hears."""
    try:
        for index, part in enumerate(parts):
            if index and pause:
                time.sleep(pause)
            sock.sendall(part.encode("latin1") if isinstance(part, str) else part)
    except OSError as error:
        say(f"[while sending {type(error).__name__}: {error}]")
    answer = dechunk(hear(sock, **options))
    say(answer)
    sock.close()
    return answer


def head(method, path, host, headers=(), body=None):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"] + [f"{n}: {v}" for n, v in headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\nConnection: close\r\n\r\n").encode("latin1") + (body or b"")


def request(host, path="/", headers=(), body=None, method=None, scheme="https", port=None, authority=None, **options):
    """One HTTP/1.1 request on a connection of its own; says the raw answer."""
    body = body.encode() if isinstance(body, str) else body
    port = port or (443 if scheme == "https" else 80)
    sock = tls(host, port, verify=True) if scheme == "https" else tcp(host, port)
    return talk(sock, head(method or ("POST" if body is not None else "GET"), path, authority or host, list(headers), body), **options)


def bearer(key=None):
    return [("Authorization", "Bearer " + (KEY if key is None else key))]


def basic(user, password):
    return [("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())]


def shell(command, limit=40):
    try:
        done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=limit, stdin=subprocess.DEVNULL)
        say(done.stdout, done.stderr, f"[status {done.returncode}]")
    except subprocess.TimeoutExpired as error:
        say(error.stdout or b"", error.stderr or b"", "[hangs]")


# --- HTTP/2 by hand -----------------------------------------------------------------------------------------------------

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


def integer(value, prefix, flags):
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([flags | value])
    out = bytearray([flags | limit])
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(name, value):
    """A literal that is never indexed, without Huffman coding (RFC 7541 6.2.3)."""
    n = name.encode("latin1") if isinstance(name, str) else name
    v = value.encode("latin1") if isinstance(value, str) else value
    return b"\x10" + integer(len(n), 7, 0) + n + integer(len(v), 7, 0) + v


def fields(host, path="/", method="GET", scheme="https", more=()):
    pseudo = [(":method", method), (":scheme", scheme), (":authority", host), (":path", path)]
    return b"".join(field(n, v) for n, v in pseudo + list(more))


class H2:
    """A bare HTTP/2 client connection over TLS that sends what it is told to."""

    def __init__(self, host, settings=b""):
        self.sock = tls(host, alpn=["h2"])
        if self.sock.selected_alpn_protocol() != "h2":
            say("no h2")
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(SETTINGS, 0, 0, settings))

    @staticmethod
    def frame(kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def send(self, data):
        self.sock.sendall(data)

    def open(self, stream, block, end=True):
        self.send(self.frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block))

    def hear(self, wait=5.0, until=None, limit=2000):
        """Says the frames that come until `until` streams have ended, the connection ends, or silence."""
        data, ended, count = b"", 0, 0
        self.sock.settimeout(wait)
        while True:
            while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
                size = int.from_bytes(data[:3], "big")
                kind, flags, stream = data[3], data[4], int.from_bytes(data[5:9], "big")
                payload, data = data[9 : 9 + size], data[9 + size :]
                count += 1
                if kind == SETTINGS and not flags & 1:
                    self.quiet(self.frame(SETTINGS, 1, 0))
                elif kind == DATA:
                    say(f"[stream {stream}]", payload)
                elif kind == RST:
                    say(f"[stream {stream} reset {int.from_bytes(payload, 'big')}]")
                elif kind == GOAWAY:
                    say(f"[goaway {int.from_bytes(payload[4:8], 'big')}]")
                if kind == RST or (kind in (DATA, HEADERS) and flags & END_STREAM):
                    ended += 1
                if kind == GOAWAY or (until is not None and ended >= until) or count > limit:
                    return self.sock.close()
            try:
                chunk = self.sock.recv(65536)
            except (TimeoutError, socket.timeout):
                say("[silence]")
                return self.sock.close()
            except OSError as error:
                say(f"[{type(error).__name__}: {error}]")
                return self.sock.close()
            if not chunk:
                say("[end]")
                return self.sock.close()
            data += chunk

    def quiet(self, data):
        try:
            self.send(data)
        except OSError:
            pass


def h2(host, *blocks, until=None):
    """Opens one stream for each header block on one connection, in order, and says what comes back."""
    session = H2(host)
    for index, block in enumerate(blocks):
        session.open(1 + 2 * index, block)
    session.hear(until=until or len(blocks))


# --- TLS and DNS by hand ------------------------------------------------------------------------------------------------


def client_hello(name):
    """The first flight of a real client for this name."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = context(False).wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        made.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def extend_hello(hello, change):
    """Gives the list of (type, body) of the extensions to `change` and writes the hello anew."""
    body = hello[9:]
    at = 34
    at += 1 + body[at]
    at += 2 + int.from_bytes(body[at : at + 2], "big")
    at += 1 + body[at]
    extensions, rest = [], body[at + 2 :]
    while rest:
        kind, size = struct.unpack(">HH", rest[:4])
        extensions.append((kind, rest[4 : 4 + size]))
        rest = rest[4 + size :]
    written = b"".join(struct.pack(">HH", k, len(b)) + b for k, b in change(extensions))
    body = body[:at] + struct.pack(">H", len(written)) + written
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def server_names(*names):
    entries = b"".join(b"\0" + struct.pack(">H", len(n)) + n.encode() for n in names)
    return (0, struct.pack(">H", len(entries)) + entries)


def hello_answer(host, hello):
    """Says whether a ServerHello came back for a raw ClientHello."""
    sock = tcp(host, 443)
    sock.sendall(hello)
    answer = hear(sock, most=2000)
    sock.close()
    if answer[:1] == b"\x16":
        say("server hello")
    elif answer[:1] == b"\x15":
        say("alert", answer[5:7].hex())
    else:
        say(answer[:200])


def resolver():
    for line in open("/etc/resolv.conf"):
        if line.startswith("nameserver"):
            return line.split()[1]
    return "127.0.0.1"


def labels(name):
    parts = [p for p in name.rstrip(".").split(".")]
    return b"".join(bytes([len(p.encode())]) + p.encode() for p in parts) + b"\0"


TYPES = {"A": 1, "NS": 2, "CNAME": 5, "NULL": 10, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33, "SVCB": 64, "HTTPS": 65, "ANY": 255}


def dns(name, kind="A", server=None, over="udp", port=53, limit=4):
    """Asks a name server by hand; returns (rcode, addresses) and says them."""
    family = socket.AF_INET6 if ":" in (server or "") else socket.AF_INET
    query = struct.pack(">HHHHHH", random.getrandbits(16), 0x0100, 1, 0, 0, 0) + labels(name) + struct.pack(">HH", TYPES[kind], 1)
    where = (server or resolver(), port)
    try:
        if over == "tcp":
            sock = socket.create_connection(where, timeout=limit)
            sock.sendall(struct.pack(">H", len(query)) + query)
            data = hear(sock, first=limit, idle=0.2)[2:]
        else:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.settimeout(limit)
            sock.sendto(query, where)
            data = sock.recv(4096)
    except OSError as error:
        say(f"dns {type(error).__name__}: {error}")
        return None, []
    if len(data) < 12:
        say("dns", data)
        return None, []
    rcode, answers = data[3] & 15, int.from_bytes(data[6:8], "big")
    found, at = [], 12
    while data[at]:
        at += 1 + data[at]
    at += 5
    for _ in range(answers):
        at += 2 if data[at] & 0xC0 == 0xC0 else data.index(b"\0", at) - at + 1
        rtype, _, _, size = struct.unpack(">HHIH", data[at : at + 10])
        value = data[at + 10 : at + 10 + size]
        at += 10 + size
        if rtype == 1:
            found.append(socket.inet_ntoa(value))
        elif rtype == 28:
            found.append(socket.inet_ntop(socket.AF_INET6, value))
        else:
            found.append(value.hex())
    say(f"dns rcode {rcode} {found}")
    return rcode, found


def by_name(name, port, data=b"\0hello"):
    """Has the sandbox's resolver take any name, however odd, and connects to what it answers."""
    _, found = dns(name)
    if not found:
        return
    talk(tcp(found[0], port), data)


def udp(address, port, data=b"hello", limit=2):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(limit)
    sock.connect((address, port))
    sock.send(data)
    say("answer", sock.recv(2000))


def root(code, limit=30):
    """Runs Python as root in the sandbox."""
    try:
        done = subprocess.run(["sudo", "-n", "-E", sys.executable, "-c", code], capture_output=True, timeout=limit)
        say(done.stdout, done.stderr[-600:])
    except subprocess.TimeoutExpired:
        say("[hangs]")


def web_socket(host, path="/", headers=(), frames=(), wait=1.5):
    sock = tls(host)
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    sock.sendall(("\r\n".join(lines + [f"{n}: {v}" for n, v in headers]) + "\r\n\r\n").encode("latin1"))
    sock.settimeout(6)
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            chunk = sock.recv(65536)
            if not chunk:
                break
            data += chunk
        for frame in frames:
            sock.sendall(frame)
            # A server that echoes stops reading when nobody reads its echo, and then this would wait for itself.
            data += waiting(sock)
            sock.settimeout(6)
    except OSError as error:
        say(f"[{type(error).__name__}: {error}]")
    start, split, rest = data.partition(b"\r\n\r\n")
    rest += hear(sock, first=wait, idle=wait)
    say(start + split, *(ws_payloads(rest) if b" 101 " in start else [rest]))
    sock.close()


def waiting(sock):
    """What has already arrived."""
    data = b""
    sock.settimeout(0)
    try:
        while chunk := sock.recv(65536):
            data += chunk
    except (BlockingIOError, ssl.SSLWantReadError):
        pass
    return data


def ws_payloads(data):
    """What the frames of a server hold, fragments put together and compression taken off."""
    message, squeezed = b"", False
    while len(data) >= 2 and data[0] & 0x30 == 0 and data[1] < 128:
        size, at = data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        opcode, payload = data[0] & 15, data[at : at + size]
        squeezed = squeezed or bool(data[0] & 0x40)
        if opcode >= 8:
            yield payload
        else:
            message += payload
            if data[0] & 128:
                yield zlib.decompressobj(-15).decompress(message + b"\0\0\xff\xff") if squeezed else message
                message, squeezed = b"", False
        data = data[at + size :]
    yield data


def ws_frame(payload, opcode=1, fin=True):
    payload = payload.encode() if isinstance(payload, str) else payload
    size = bytes([128 | len(payload)]) if len(payload) < 126 else b"\xfe" + struct.pack(">H", len(payload))
    mask = os.urandom(4)
    return bytes([(128 if fin else 0) | opcode]) + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def carry_out(attack):
    said.lines = []
    scope = dict(globals(), **attack["names"])
    began = time.monotonic()
    try:
        if "bash" in attack:
            names = "".join(f"{n}={v}; " for n, v in attack["names"].items())
            shell(names + attack["bash"])
        else:
            exec(compile(attack["python"], attack["id"], "exec"), scope)
    except BaseException as error:
        say(f"{type(error).__name__}: {error}")
        if not isinstance(error, (OSError, EOFError)):
            say(traceback.format_exc()[-600:])
    took = round((time.monotonic() - began) * 1000)
    return {"id": attack["id"], "outcome": "\n".join(said.lines), "milliseconds": took}


def main():
    attacks = json.load(open(sys.argv[1]))
    write = threading.Lock()

    def one(attack):
        result = carry_out(attack)
        with write:
            print(json.dumps(result), flush=True)

    with ThreadPoolExecutor(int(sys.argv[2]) if len(sys.argv) > 2 else 4) as pool:
        list(pool.map(one, attacks))


if __name__ == "__main__":
    main()
