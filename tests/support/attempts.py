# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an attacker would try who runs code in a process: system calls with arguments that work.

That they do is what prove() finds out, by a process of root's without walls; a kernel that has no
such call gives a reason to skip. So each refusal elsewhere is a wall's doing, not the arguments'.
"""
import contextlib
import os
import struct
import subprocess
import time
from typing import Callable, Dict, NamedTuple, Tuple

from . import inject, procfs
from .tap import Skip

AT_FDCWD = -100
MS_PRIVATE = 1 << 18
CLONE_NEWUTS = 0x04000000
PTRACE_SEIZE = 0x4206
BLKGETSIZE64, BLKBSZGET, BLKFLSBUF, LOOP_GET_STATUS64 = 0x80081272, 0x80081270, 0x1261, 0x4C05
F_DUPFD, F_SETFL, F_SETOWN, F_SETSIG, F_SETOWN_EX = 0, 4, 8, 10, 15
F_OWNER_PID = 1
ROOM = bytes(512)  # for what a call writes

#: x86-64
NUMBERS = {
    "open": 2, "poll": 7, "mmap": 9, "ioctl": 16, "pread64": 17, "dup": 32, "getpid": 39,
    "socket": 41, "clone": 56, "fork": 57, "execve": 59, "kill": 62, "fcntl": 72, "creat": 85, "unlink": 87,
    "chmod": 90, "ptrace": 101, "setuid": 105, "setgroups": 116, "prctl": 157, "chroot": 161,
    "mount": 165, "futex": 202, "restart_syscall": 219, "clock_nanosleep": 230,
    "epoll_wait": 232, "keyctl": 250,
    "openat": 257, "ppoll": 271, "unshare": 272, "inotify_init1": 294, "prlimit64": 302,
    "process_vm_readv": 310, "memfd_create": 319, "io_uring_setup": 425}
I386_GETPID = 20


class Target(NamedTuple):
    """What arguments refer to: a disk, its fd in the process, a directory to write to, and the pid
    of a process to look into."""
    disk: str
    disk_fd: int
    directory: str
    victim: int

    def prepare(self) -> None:
        """Let there be a file to remove."""
        with open(os.path.join(self.directory, "there"), "w", encoding="ascii"):
            pass


class Attempt(NamedTuple):
    call: str
    arguments: Callable[[Target], tuple]
    instruction: bytes = inject.SYSCALL
    rights: bool = False  # it needs those of root

    def make(self, tid: int, target: Target) -> int:
        target.prepare()
        number = NUMBERS[self.call] if self.instruction == inject.SYSCALL else I386_GETPID
        return inject.call(tid, number, *self.arguments(target), instruction=self.instruction)


def _openat(flags: int, path: Callable[[Target], str]) -> Attempt:
    return Attempt("openat", lambda t: (AT_FDCWD, path(t).encode(), flags, 0o600))


def _read(path: str) -> Attempt:
    return Attempt("openat", lambda t: (AT_FDCWD, path.format(t).encode(), os.O_RDONLY, 0),
                   rights=True)


def _plain(call: str, *arguments, rights: bool = False) -> Attempt:
    return Attempt(call, lambda _: arguments, rights=rights)


def _ioctl(request: int) -> Attempt:
    return Attempt("ioctl", lambda t: (t.disk_fd, request, ROOM))


ATTEMPTS: Dict[str, Attempt] = {
    "read /etc/shadow": _openat(os.O_RDONLY, lambda _: "/etc/shadow"),
    "read /etc/passwd": _openat(os.O_RDONLY, lambda _: "/etc/passwd"),
    "list /": _openat(os.O_RDONLY | os.O_DIRECTORY, lambda _: "/"),
    "open the disk by name": _openat(os.O_RDONLY, lambda t: t.disk),
    "open the disk for writing": _openat(os.O_RDWR, lambda t: t.disk),
    "open /dev/null for writing": _openat(os.O_WRONLY, lambda _: "/dev/null"),
    "open, the old call": _plain("open", b"/dev/null", os.O_RDWR),
    "open its memory": _openat(os.O_RDWR, lambda _: "/proc/self/mem"),
    "open another's memory": Attempt(
        "openat", lambda t: (AT_FDCWD, f"/proc/{t.victim}/mem".encode(), os.O_RDWR), rights=True),
    "read the kernel's memory": _read("/proc/kcore"),
    "read all memory": _read("/dev/mem"),
    "read the kernel's memory, the old device": _read("/dev/kmem"),
    "read ports": _read("/dev/port"),
    "read the kernel's symbols": _read("/proc/kallsyms"),
    "read the environment of a process": _read("/proc/{0.victim}/environ"),
    "read the maps of a process": _read("/proc/{0.victim}/maps"),
    "read the memory of a process": _read("/proc/{0.victim}/mem"),
    "make a file": _openat(os.O_WRONLY | os.O_CREAT, lambda t: f"{t.directory}/made"),
    "make a file without a name": _openat(os.O_RDWR | os.O_TMPFILE, lambda t: t.directory),
    "make a file by creat": Attempt("creat", lambda t: (f"{t.directory}/made".encode(), 0o600)),
    "change a mode": Attempt("chmod", lambda t: (t.directory.encode(), 0o755)),
    "remove a file": Attempt("unlink", lambda t: (f"{t.directory}/there".encode(),)),
    "TCP socket": _plain("socket", 2, 1, 0),
    "unix socket": _plain("socket", 1, 1, 0),
    "netlink socket": _plain("socket", 16, 3, 0),
    "packet socket": _plain("socket", 17, 3, 0, rights=True),
    "execute a program": _plain("execve", b"/bin/true", 0, 0),
    "fork": _plain("fork"),
    "fork by clone": _plain("clone", 0, 0, 0, 0, 0),
    "trace a process": Attempt("ptrace", lambda t: (PTRACE_SEIZE, t.victim, 0, 0), rights=True),
    "read a process": Attempt("process_vm_readv", lambda t: (t.victim, 0, 0, 0, 0, 0)),
    "signal a process": Attempt("kill", lambda t: (t.victim, 0)),
    "mount": _plain("mount", 0, b"/", 0, MS_PRIVATE, 0, rights=True),
    "name space": _plain("unshare", CLONE_NEWUTS, rights=True),
    "change the root": _plain("chroot", b"/", rights=True),
    "become another user": _plain("setuid", 65534, rights=True),
    "change groups": _plain("setgroups", 0, 0, rights=True),
    "look for keys": _plain("keyctl", 0, -3, 1),
    "io_uring": _plain("io_uring_setup", 1, ROOM),
    "become dumpable": _plain("prctl", 4, 1, 0, 0, 0),
    "raise a limit": _plain("prlimit64", 0, 7, 0, ROOM),
    "memory to execute": _plain("mmap", 0, 4096, 7, 0x22, -1, 0),
    "file in memory": _plain("memfd_create", b"x", 0),
    "watch files": _plain("inotify_init1", 0),
    "copy an fd": _plain("dup", 0),
    "copy an fd by fcntl": _plain("fcntl", 0, F_DUPFD, 0),
    "have another signalled": Attempt("fcntl", lambda t: (t.disk_fd, F_SETOWN, t.victim)),
    "have another signalled, the other call": Attempt(
        "fcntl", lambda t: (t.disk_fd, F_SETOWN_EX, struct.pack("ii", F_OWNER_PID, t.victim))),
    "choose the signal": Attempt("fcntl", lambda t: (t.disk_fd, F_SETSIG, 9)),
    "ask for signals": Attempt("fcntl", lambda t: (t.disk_fd, F_SETFL, os.O_ASYNC | os.O_RDWR)),
    "change an fd's flags": Attempt("fcntl", lambda t: (t.disk_fd, F_SETFL, os.O_RDWR)),
    "read the disk elsewhere": Attempt("pread64", lambda t: (t.disk_fd, ROOM, len(ROOM), 4096)),
    "size of the disk": _ioctl(BLKGETSIZE64),
    "size of its blocks": _ioctl(BLKBSZGET),
    "flush the disk": Attempt("ioctl", lambda t: (t.disk_fd, BLKFLSBUF, 0), rights=True),
    "file behind the disk": _ioctl(LOOP_GET_STATUS64),
    "call by the numbers of i386": Attempt("getpid", lambda _: (), inject.INT80),
}


#: Memory that is not its own, by any name that it has.
MEMORY = [name for name in ATTEMPTS if name.startswith("read ") and name not in (
    "read /etc/shadow", "read /etc/passwd", "read the disk elsewhere", "read a process")]


@contextlib.contextmanager
def bystander(*arguments: str, fds: Tuple[int, ...] = ()):
    """The pid of a process of ours that does nothing."""
    with subprocess.Popen([*arguments, "sleep", "1000"], pass_fds=fds) as process:
        try:
            while procfs.system_call(process.pid) != NUMBERS["clock_nanosleep"]:
                if process.poll() is not None:
                    raise Skip(f"{arguments} cannot be had here")
                time.sleep(0.001)
            yield process.pid
        finally:
            process.kill()


def prove(name: str, target: Target) -> None:
    """A process of root's without walls succeeds. It has the disk under the same number as we."""
    with bystander("unshare", "-m", "--propagation", "private", fds=(target.disk_fd,)) as pid:
        result = ATTEMPTS[name].make(pid, target)
    if result < 0:
        raise Skip(f"no process can do that here: {os.strerror(-result)}")
