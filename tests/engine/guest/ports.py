"""Writes to a port of the machine's input/output space as fast as the processor can.

Arguments: the port; then `port:width:value` of what is written once before.
"""

import ctypes
import mmap
import struct
import sys

libc = ctypes.CDLL(None, use_errno=True)
if libc.iopl(3) != 0:
    raise OSError(ctypes.get_errno(), "iopl")

# Machine code. Once each: mov edx, port; mov eax, value; out dx, al (one byte) or out dx, eax (four bytes).
code = b""
for write in sys.argv[2:]:
    port, width, value = (int(part, 0) for part in write.split(":"))
    code += b"\xba" + struct.pack("<I", port) + b"\xb8" + struct.pack("<I", value)
    code += b"\xee" if width == 1 else b"\xef"
# mov edx, port; xor eax, eax; out dx, eax; jmp back to the out
code += b"\xba" + struct.pack("<I", int(sys.argv[1], 0)) + b"\x31\xc0" + b"\xef" + b"\xeb\xfd"
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
