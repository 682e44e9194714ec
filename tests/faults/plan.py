# SPDX-License-Identifier: LGPL-2.1-or-later
"""Which faults there are to inject: what a run was seen to call, times what a call may say.

Every call gets each errno of COMMON, and those that the code looks for (SPECIAL). Few calls are
left out, or get less:

close   No matter what it returns, the fd is gone (close(2)), and an injected error would keep it open.
        tests/faults/suite_memory.py makes it close and then fail, all of them at once.
futex, rseq, rt_sigaction, rt_sigprocmask
        Most of these calls are the C library's own. It ends the process, or takes no notice, where
        they fail otherwise than the kernel ever lets them.
"""
from errno import (EACCES, EAGAIN, EBADF, ECHILD, ECONNABORTED, ECONNREFUSED, ECONNRESET, EEXIST,
                   EINTR, EINVAL, EIO, ELOOP, EMFILE, ENOBUFS, ENODEV, ENOENT, ENOMEM, ENOPROTOOPT,
                   ENOSPC, ENOSYS, ENXIO, EOPNOTSUPP, EPERM, EPIPE, ERANGE, ESRCH, ETIMEDOUT,
                   ETOOMANYREFS)
from typing import Dict, List, Sequence, Tuple

from .injector import Fault

COMMON = (EINTR, EAGAIN, ENOMEM, EMFILE, EIO, EPERM)

#: Beside those what src/ compares with, or a manual page says and a reader may wonder about.
SPECIAL: Dict[str, Tuple[int, ...]] = {
    "accept4": (ECONNABORTED,),
    "bind": (EACCES,),
    "clone": (ENOSYS,),
    "close_range": (ENOSYS,),
    "connect": (ECONNREFUSED, ENOENT, EACCES),
    "epoll_ctl": (ENOSPC,),
    "execve": (ENOENT, EACCES),
    "faccessat2": (ENOSYS, EACCES),
    "fchmodat": (EACCES,),
    "fcntl": (EACCES, EBADF, EINVAL),
    "ftruncate": (ENOSPC,),
    "getdents64": (ENOENT,),
    "getsockopt": (ENOPROTOOPT, ERANGE, ESRCH),
    "ioctl": (ENODEV, ENXIO, ETIMEDOUT, EINVAL),
    "landlock_add_rule": (EOPNOTSUPP,),
    "landlock_create_ruleset": (ENOSYS, EOPNOTSUPP),
    "landlock_restrict_self": (EOPNOTSUPP,),
    "linkat": (EEXIST, EACCES),
    "madvise": (EINVAL,),
    "newfstatat": (ENOENT, EACCES),
    "openat": (ENOENT, EACCES, ELOOP, ENXIO),
    "prctl": (EINVAL,),
    "recvfrom": (ECONNRESET, ENOBUFS),
    "recvmsg": (ECONNRESET, ENOBUFS),
    "renameat2": (EEXIST,),
    "sched_getaffinity": (EINVAL,),
    "seccomp": (EINVAL, EACCES),
    "sendmsg": (EPIPE, ECONNRESET, ENOBUFS, ETOOMANYREFS),
    "sendto": (EPIPE, ECONNRESET, ENOBUFS),
    "setsockopt": (ENOPROTOOPT,),
    "statx": (ENOENT,),
    "unlink": (ENOENT, EACCES),
    "unlinkat": (ENOENT, EACCES),
    "wait4": (ECHILD,),
    "write": (EPIPE, ENOSPC),
}

LESS: Dict[str, Tuple[int, ...]] = {
    "close": (), "futex": (EINTR, EAGAIN), "rseq": (), "rt_sigaction": (), "rt_sigprocmask": (),
}


def errors(call: str) -> Tuple[int, ...]:
    """What a call may fail with."""
    return LESS.get(call, COMMON + SPECIAL.get(call, ()))


def every(counts: Dict[Tuple[int, str], int], depth: int) -> List[Fault]:
    """Each call of the process at this depth, each time, each errno."""
    return [Fault(depth, call, nth, error)
            for (its_depth, call), count in sorted(counts.items()) if its_depth == depth
            for nth in range(1, count + 1) for error in errors(call)]


def some(faults: Sequence[Fault], common: int) -> List[Fault]:
    """A sample, always the same. Each call is there, with so many of COMMON, by turns, and with all
    errnos that are special to it; each time another one of its occurrences."""
    calls: Dict[Tuple[int, str], Dict[int, List[Fault]]] = {}
    for fault in faults:
        calls.setdefault((fault.depth, fault.call), {}).setdefault(fault.error, []).append(fault)
    chosen = []
    for turn, by_error in enumerate(calls.values()):
        usual = [error for error in COMMON if error in by_error]
        usual = [usual[(turn + i) % len(usual)] for i in range(min(common, len(usual)))]
        special = [error for error in by_error if error not in COMMON]
        for index, error in enumerate(usual + special):
            group = by_error[error]
            chosen.append(group[(turn + index) % len(group)])
    return chosen
