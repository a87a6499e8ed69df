"""Takes a serial port from the agent and writes HTTP/2 frames to it without end.

Arguments: the port's name; the frame in hexadecimal digits.
"""

import ctypes
import os
import sys

PIDFD_OPEN, PIDFD_GETFD = 434, 438
libc = ctypes.CDLL(None, use_errno=True)
pidfd = libc.syscall(PIDFD_OPEN, 1, 0)


def take(number):
    fd = libc.syscall(PIDFD_GETFD, pidfd, number, 0)
    if fd < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    os.set_blocking(fd, True)
    return fd


for entry in os.listdir("/proc/1/fd"):
    device = os.readlink(f"/proc/1/fd/{entry}")
    if not device.startswith("/dev/vport"):
        continue
    with open(f"/sys/class/virtio-ports/{os.path.basename(device)}/name", encoding="ascii") as file:
        if file.read().strip() != sys.argv[1]:
            continue
    port = take(int(entry))
    frame = bytes.fromhex(sys.argv[2])
    block = frame * (65536 // len(frame))
    while True:
        left = block
        while left:
            left = left[os.write(port, left) :]
