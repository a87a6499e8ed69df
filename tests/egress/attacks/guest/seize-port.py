"""Root inside the sandbox takes the egress port away from the agent and speaks on it itself.

Unbinds the driver of the serial device and binds it again: the agent's files are dead, the port is free. Sends garbage, then
answers the host's handshake and speaks HTTP/2: asks for hosts that are not allowed, and reports through one that is.
"""

import glob, os, select, struct, sys, time

ALLOWED, DENIED = sys.argv[1], sys.argv[2]
DRIVER = "/sys/bus/virtio/drivers/virtio_console"
words = []


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def find():
    for name in glob.glob("/sys/class/virtio-ports/*/name"):
        if open(name).read().strip() == "caisson.egress":
            return "/dev/" + name.split("/")[4]
    return None


def seize():
    for device in glob.glob(DRIVER + "/virtio*"):
        write(DRIVER + "/unbind", os.path.basename(device))
        time.sleep(0.3)
        write(DRIVER + "/bind", os.path.basename(device))
    for _ in range(100):
        path = find()
        if path:
            node = path if os.path.exists(path) else "/tmp/port"
            if node == "/tmp/port" and not os.path.exists(node):
                major, minor = open("/sys/class/virtio-ports/" + os.path.basename(path) + "/dev").read().split(":")
                os.mknod(node, 0o20600, os.makedev(int(major), int(minor)))
            try:
                return os.open(node, os.O_RDWR | os.O_NONBLOCK)
            except OSError as error:
                words.append(str(error))
        time.sleep(0.1)
    raise SystemExit("the port did not come back")


def send(port, data):
    end = time.time() + 5
    while data and time.time() < end:
        try:
            data = data[os.write(port, data) :]
        except BlockingIOError:
            select.select([], [port], [], 0.1)
        except OSError:
            time.sleep(0.1)


def hear(port, seconds, until=None):
    data, end = b"", time.time() + seconds
    while time.time() < end:
        ready, _, _ = select.select([port], [], [], 0.2)
        if ready:
            try:
                data += os.read(port, 65536)
            except BlockingIOError:
                pass
            except OSError:
                time.sleep(0.05)
        if until and until(data):
            break
    return data


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def field(name, value):
    return b"\x10" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def connect(stream, authority):
    return frame(1, 4, stream, field(":method", "CONNECT") + field(":authority", authority))


def frames(data):
    while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], "big"):
        size = int.from_bytes(data[:3], "big")
        yield data[3], data[4], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]
        data = data[9 + size :]


def synchronise(port):
    """Echoes the host's line, as the agent would."""
    def complete(data):
        at = data.rfind(b"CAISSON-SYNC ")
        return at >= 0 and b"\n" in data[at:]

    data = hear(port, 30, complete)
    at = data.rfind(b"CAISSON-SYNC ")
    line = data[at : data.index(b"\n", at) + 1]
    send(port, line)


def main():
    port = seize()
    send(port, os.urandom(300000))
    send(port, b"\0" * 100000)
    send(port, frame(0, 0, 1, b"x" * 16000) * 20)
    words.append("garbage sent")
    synchronise(port)
    # A false preface first, then everything as it should be.
    send(port, b"GET / HTTP/1.1\r\n\r\n")
    synchronise(port)
    send(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
    hosts = [f"{DENIED}:443", "127.0.0.1:22", "169.254.169.254:80", "[::1]:22", f"user@{DENIED}:443", f"{ALLOWED}@{DENIED}:443", f"{DENIED}:443#{ALLOWED}", f"{DENIED}%2e:443", "localhost:22", f"{DENIED}.:443"]
    streams = {1 + 2 * index: host for index, host in enumerate(hosts)}
    for stream, host in streams.items():
        send(port, connect(stream, host))
    last = 1 + 2 * len(hosts)
    send(port, connect(last, f"{ALLOWED}:9000"))
    data = hear(port, 8)
    for kind, flags, stream, payload in frames(data):
        if kind == 1 and stream in streams:
            # Static table: 8 is `:status: 200`; others are written out, in letters of Huffman's or plain ones.
            status = "200" if payload[:1] == b"\x88" else "403" if b"403" in payload or payload[:5] == b"\x48\x03403" else "not 200"
            words.append(f"{streams[stream]} -> {'403' if status == 'not 200' and b'caisson' not in payload else status}")
    send(port, frame(0, 0, last, ("\0report:" + "; ".join(words).replace("\n", " ") + "\n").encode()))
    time.sleep(5)


main()
