# SPDX-License-Identifier: LGPL-2.1-or-later
"""Takes the helper's place in its unit and tries what the helper's processes need, and what none
needs. Writes what came of each, 0 or an errno, to the file that it is told.

    systemd_probe.py RESULT DISK
"""
import ctypes
import errno
import fcntl
import json
import mmap
import os
import socket
import struct
import sys
from typing import Callable, Dict

RESULT, DISK = sys.argv[1:3]
#: By its kind of virtual machine.
ROOT_DISK = "/dev/ubda" if os.path.exists("/dev/ubda") else "/dev/nvme0n1"
CLONE_NEWUSER = 0x10000000
SG_IO, SG_DXFER_FROM_DEV = 0x2285, -3

libc = ctypes.CDLL(None, use_errno=True)


def outcome(function: Callable[[], object]) -> int:
    try:
        function()
        return 0
    except OSError as error:
        return error.errno or -1


def system(result: int) -> int:
    """The result of a function of the C library; its errno is raised."""
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result


def opened(path: str, flags: int = os.O_RDWR) -> None:
    os.close(os.open(path, flags | os.O_CLOEXEC, 0o600))


def connected(address: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)


def executed() -> None:
    pid = os.fork()
    if pid == 0:
        try:
            os.execv("/usr/bin/python3", ["python3", "-ISc", "pass"])
        except OSError as error:
            os._exit(error.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, "exec")


def read_keys() -> None:
    """PERSISTENT RESERVE IN, which the kernel grants to CAP_SYS_RAWIO only."""
    data, sense = ctypes.create_string_buffer(8), ctypes.create_string_buffer(32)
    cdb = ctypes.create_string_buffer(bytes([0x5E, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 10)
    # struct sg_io_hdr of <scsi/sg.h>
    header = bytearray(struct.pack(
        "@iiBBHIPPPIIiP4BHHiII", ord("S"), SG_DXFER_FROM_DEV, 10, 32, 0, 8,
        ctypes.addressof(data), ctypes.addressof(cdb), ctypes.addressof(sense), 10000, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0))
    fd = os.open(DISK, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.ioctl(fd, SG_IO, header)
    os.close(fd)


def other_command_line() -> None:
    """Of the process that started us: another process, of another user perhaps."""
    with open(f"/proc/{os.getppid()}/cmdline", "rb") as file:
        if not file.read():
            raise OSError(errno.ENODATA, "")


def permitted() -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("CapPrm:")).split()[1], 16)


def executable_memory() -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


TRIED: Dict[str, Callable[[], object]] = {
    "control node": lambda: opened("/dev/mapper/control"),
    "disk": lambda: opened(DISK, os.O_RDONLY),
    "disk for writing": lambda: opened(DISK),
    "PERSISTENT RESERVE IN": read_keys,
    "keys file": lambda: opened("/etc/multipath/prkeys", os.O_RDWR | os.O_CREAT),
    "multipathd": lambda: connected("/run/multipathd.socket"),
    "old multipathd": lambda: connected("\0/org/kernel/linux/storage/multipathd"),
    "execute": executed,
    "another's command line": other_command_line,
    "proc devices": lambda: opened("/proc/devices", os.O_RDONLY),
    "write below /usr": lambda: opened("/usr/probe", os.O_WRONLY | os.O_CREAT),
    "write below /etc": lambda: opened("/etc/probe", os.O_WRONLY | os.O_CREAT),
    "root's disk": lambda: opened(ROOT_DISK, os.O_RDONLY),
    "internet socket": lambda: socket.socket(socket.AF_INET).close(),
    "user namespace": lambda: system(libc.unshare(CLONE_NEWUSER)),
    "mount": lambda: system(libc.mount(b"none", b"/tmp", b"tmpfs", ctypes.c_ulong(0), None)),
    "executable memory": executable_memory,
}

found: Dict[str, int] = {name: outcome(function) for name, function in TRIED.items()}
found["uid"], found["permitted"] = os.getuid(), permitted()
with open(RESULT, "w", encoding="ascii") as file:
    json.dump(found, file)
