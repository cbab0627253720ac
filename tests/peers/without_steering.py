"""Becomes the program that follows, in which SO_ATTACH_REUSEPORT_CBPF is refused, as some containers do it."""

import ctypes
import os
import platform
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SETSOCKOPT = {"x86_64": 54, "aarch64": 208}[platform.machine()]
SO_ATTACH_REUSEPORT_CBPF = 51
ALLOW, EPERM = 0x7FFF0000, 0x00050001
NUMBER, THIRD_ARGUMENT = 0, 16 + 2 * 8  # offsets in struct seccomp_data

LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06
program = [
    (LOAD, 0, 0, NUMBER),
    (IF_EQUAL, 0, 3, SETSOCKOPT),
    (LOAD, 0, 0, THIRD_ARGUMENT),
    (IF_EQUAL, 0, 1, SO_ATTACH_REUSEPORT_CBPF),
    (RETURN, 0, 0, EPERM),
    (RETURN, 0, 0, ALLOW),
]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)):
    if libc.prctl(*arguments) != 0:
        sys.exit(f"prctl{arguments}: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
