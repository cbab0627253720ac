"""Becomes the program that follows, with one request to the kernel refused, as sandboxes do it.

`steering`: SO_ATTACH_REUSEPORT_CBPF gets EPERM, as in some containers. `netlink`: no socket of AF_NETLINK, as with
systemd's RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
SOCKET, SETSOCKOPT = {"x86_64": (41, 54), "aarch64": (198, 208)}[platform.machine()]
SO_ATTACH_REUSEPORT_CBPF = 51
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06

# The call, which of its arguments has which value, and the answer.
REFUSED = {
    "steering": (SETSOCKOPT, 2, SO_ATTACH_REUSEPORT_CBPF, errno.EPERM),
    "netlink": (SOCKET, 0, socket.AF_NETLINK, errno.EAFNOSUPPORT),
}


def argument(index):
    return 16 + index * 8  # its offset in struct seccomp_data, which the number of the call begins


def refuse(call, index, value, error):
    program = [
        (LOAD, 0, 0, 0),
        (IF_EQUAL, 0, 3, call),
        (LOAD, 0, 0, argument(index)),
        (IF_EQUAL, 0, 1, value),
        (RETURN, 0, 0, REFUSE | error),
        (RETURN, 0, 0, ALLOW),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header, 0, 0)):
        if libc.prctl(*words) != 0:
            sys.exit(f"prctl{words}: {os.strerror(ctypes.get_errno())}")


what = sys.argv[1]
refuse(*REFUSED[what])
if what == "netlink":
    try:
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, 4)  # NETLINK_SOCK_DIAG
        sys.exit("a netlink socket can be made all the same")
    except OSError as error:
        if error.errno != errno.EAFNOSUPPORT:
            raise
os.execvp(sys.argv[2], sys.argv[2:])
