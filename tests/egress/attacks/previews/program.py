"""program.py <name> <port> <file>: a careless HTTP server. What it takes for a request it writes to the file, and answers."""

import re
import socket
import sys
import threading

name, port, file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
cookies = "".join(f"set-cookie: tossed=1; Path=/; {domain}\r\n" for domain in sys.argv[4:])


def serve(connection):
    buffer = b""
    while True:
        while (end := re.search(rb"\r?\n\r?\n", buffer)) is None:
            more = connection.recv(65536)
            if not more:
                return
            buffer += more
        head, buffer = buffer[: end.start()].decode("latin1"), buffer[end.end() :]
        # The last length counts, and transfer codings are unheard of: what follows is the next request.
        lengths = re.findall(r"(?im)^content-length *: *(\d+)", head)
        length = int(lengths[-1]) if lengths else 0
        while len(buffer) < length:
            more = connection.recv(65536)
            if not more:
                return
            buffer += more
        body, buffer = buffer[:length].decode("latin1"), buffer[length:]
        with open(file, "a") as seen:
            seen.write(f"[{head}]({body})\n")
        text = f"program {name}"
        connection.sendall(f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\n{cookies}\r\n{text}".encode())


def attend(connection):
    with connection:
        try:
            serve(connection)
        except OSError:
            pass


server = socket.create_server(("127.0.0.1", port))
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=attend, args=(server.accept()[0],), daemon=True).start()
