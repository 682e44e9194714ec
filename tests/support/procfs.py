# SPDX-License-Identifier: LGPL-2.1-or-later
"""What /proc tells about a process that a test started."""
import os
import time
from typing import Dict, List, NamedTuple, Optional

from . import pause
from .tap import Skip

CAPABILITIES = {
    "chown": 0, "dac_override": 1, "kill": 5, "setgid": 6, "setuid": 7, "sys_rawio": 17,
    "sys_admin": 21,
}


class Thread(NamedTuple):
    """The lines of one thread's status file that concern privileges."""
    tid: int
    uids: List[int]
    gids: List[int]
    groups: List[int]
    inheritable: int
    permitted: int
    effective: int
    bounding: int
    ambient: int
    no_new_privs: int
    seccomp: int
    blocked_signals: int


def capability_mask(*names: str) -> int:
    return sum(1 << CAPABILITIES[name] for name in names)


def status(pid: int, tid: Optional[int] = None) -> Dict[str, str]:
    path = f"/proc/{pid}/status" if tid is None else f"/proc/{pid}/task/{tid}/status"
    with open(path, encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def threads(pid: int) -> List[Thread]:
    found = []
    for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
        try:
            line = status(pid, tid)
        except (FileNotFoundError, ProcessLookupError):
            continue  # has left meanwhile
        found.append(Thread(
            tid,
            *([int(word) for word in line[name].split()] for name in ("Uid", "Gid", "Groups")),
            *(int(line[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")),
            int(line["NoNewPrivs"]), int(line.get("Seccomp", "0")), int(line["SigBlk"], 16)))
    return found


def waited_seconds() -> float:
    """How long this thread has been ready to run, and had no processor; 0 where the kernel does not
    tell."""
    try:
        with open("/proc/thread-self/schedstat", encoding="ascii") as file:
            return int(file.read().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0


def thread_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def fds(pid: int) -> Dict[int, str]:
    """Number and target of each open fd."""
    found = {}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        raise Skip("the fds of a process that is not dumpable are for root to see") from None
    for name in names:
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            pass
    return found


def fd_limit(pid: int) -> int:
    """The soft limit on open files."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        for line in file:
            if line.startswith("Max open files"):
                return int(line.split()[3])
    raise LookupError("no limit on open files")


def parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def state(pid: int) -> str:
    """One letter; X if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def system_call(tid: int) -> int:
    """The number of the one that a thread waits in; -1: none, or there is no such thread."""
    try:
        with open(f"/proc/{tid}/syscall", encoding="ascii") as file:
            word = file.read().split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return -1
    except PermissionError:
        raise Skip("the calls of a process that is not dumpable are for root to see") from None
    return int(word) if word.isdigit() else -1


def command(pid: int) -> str:
    """Its name, without arguments; empty if there is no such process."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children(pid: int, zombies: bool = False) -> List[int]:
    """zombies: also those that have ended and whose end it has not looked at."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if parent(int(name)) == pid and (zombies or state(int(name)) != "Z"):
                    found.append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass
    return sorted(found)


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole process."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        field = file.read().rpartition(")")[2].split()
    return (int(field[11]) + int(field[12])) / os.sysconf("SC_CLK_TCK")


def private_kb(pid: int, without: str = "") -> int:
    """Private dirty memory in kB, leaving out mappings of the file without."""
    total, counts = 0, True
    try:
        with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
            lines = file.readlines()
    except PermissionError:
        raise Skip("the memory of a process that is not dumpable is for root to see") from None
    for line in lines:
        word = line.split()
        if not word[0].endswith(":"):
            counts = not without or not line.rstrip().endswith(without)
        elif word[0] == "Private_Dirty:" and counts:
            total += int(word[1])
    return total


def wait_gone(pid: int, timeout: float) -> bool:
    """Until the process, which may be any process's child, has ended."""
    begun = time.monotonic()
    while state(pid) not in "XZ":
        if time.monotonic() > begun + timeout:
            return False
        pause(begun)
    return True
