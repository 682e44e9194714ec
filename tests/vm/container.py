# SPDX-License-Identifier: LGPL-2.1-or-later
"""Programs in namespaces and control groups of their own, as libvirt, a container engine and
systemd make them: by the system calls, since every tool costs a tenth of a second in here.
"""
import ctypes
import os
import signal
from typing import Callable, List, NoReturn, Optional, Sequence

from support.process import Program

import lab

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS = 0x00020000, 0x02000000, 0x04000000
CLONE_NEWIPC, CLONE_NEWPID, CLONE_NEWNET = 0x08000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_BIND, MS_MOVE = 0x1, 0x2, 0x4, 0x1000, 0x2000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_PDEATHSIG = 1
CGROUPS = "/sys/fs/cgroup"

libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    _check(libc.mount(source.encode(), target.encode(), kind.encode() or None,
                      ctypes.c_ulong(flags), data.encode() or None), f"mount of {target}")


def bind(source: str, target: str) -> None:
    """The file or directory source under the name target, which is made if it is missing."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o600))
    mount(source, target, flags=MS_BIND)


def unmount(target: str) -> None:
    _check(libc.umount2(target.encode(), MNT_DETACH), f"umount of {target}")


def mount_control_groups() -> None:
    """Those of version 2, where every system has them."""
    if not os.path.exists(f"{CGROUPS}/cgroup.procs"):
        mount("cgroup2", CGROUPS, "cgroup2")


def make_control_group(name: str) -> str:
    """A control group below the root; its directory."""
    mount_control_groups()
    path = f"{CGROUPS}/{name}"
    os.mkdir(path)
    return path


def _follow(pid: int) -> NoReturn:
    """Between the starter and a child in a new PID namespace: end as the child ends. If we are
    killed, so is the child, and with it all of its namespace."""
    os.closerange(3, 1024)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def enter(flags: int, prepare: Optional[Callable[[], None]] = None,
          cgroup: str = "") -> Callable[[], None]:
    """What is to be done in a process between fork and exec so that it is in new namespaces
    (flags), and in a control group. prepare() sets up the mounts, which are not seen outside."""
    def body() -> None:
        if cgroup:
            lab.write(f"{cgroup}/cgroup.procs", os.getpid())
        _check(libc.unshare(flags), "unshare")
        if flags & CLONE_NEWPID:
            pid = os.fork()
            if pid:
                _follow(pid)
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if flags & CLONE_NEWNS:
            mount("none", "/", flags=MS_REC | MS_PRIVATE)
        if flags & CLONE_NEWPID:
            mount("proc", "/proc", "proc")
        if flags & CLONE_NEWCGROUP:
            unmount(CGROUPS)  # a second one in its place would be EBUSY
            mount("cgroup2", CGROUPS, "cgroup2")
        if prepare:
            prepare()

    def told() -> None:
        """Python says of an exception here only that there was one."""
        try:
            body()
        except OSError as error:
            os.write(2, f"{error}\n".encode())
            raise
    return told


def join(pid: int, flags: int) -> Callable[[], None]:
    """The same, for namespaces that another process is in."""
    def body() -> None:
        _check(libc.setns(os.pidfd_open(pid), flags), "setns")
        if flags & CLONE_NEWPID:  # in force for children only
            child = os.fork()
            if child:
                _follow(child)
    return body


def start(argv: Sequence[str], directory: str, flags: int, **options) -> Program:
    """A program whose log is in directory. Options as of enter() and, for env, of Program."""
    env = options.pop("env", None)
    os.makedirs(directory, exist_ok=True)
    return Program(argv, directory, env=env, before_exec=enter(flags, **options))


def members(cgroup: str) -> List[int]:
    """The processes of a control group; none, if there is no such group."""
    if not os.path.exists(cgroup):
        return []
    return sorted(map(int, lab.read(f"{cgroup}/cgroup.procs").split()))
