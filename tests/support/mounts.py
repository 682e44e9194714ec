# SPDX-License-Identifier: LGPL-2.1-or-later
"""A mount namespace of a run: what it mounts is seen by its own processes, and by no other."""
import ctypes
import os
import threading
from typing import Optional

from .tree import TOP

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 0x20, 0x1000, 0x4000, 1 << 18

#: Directories that every system has, and that are not missed for the time of a run.
PLACES = ("/mnt", "/media", "/srv")

_libc = ctypes.CDLL(None, use_errno=True)
_private = False


def mount(source: str, target: str, kind: Optional[str] = None, flags: int = 0) -> None:
    if _libc.mount(source.encode(), target.encode(), kind and kind.encode(), flags, None) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount on {target}: {os.strerror(number)}")


def make_private() -> None:
    """From now on. A namespace belongs to a thread, so this has to come before there are others.
    Raises OSError where it cannot be done, such as in most containers, or without root."""
    global _private
    if _private:
        return
    if threading.active_count() > 1:
        raise RuntimeError("too late for a mount namespace: there are threads")
    if _libc.unshare(CLONE_NEWNS) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    _private = True


def _is_open(path: str) -> bool:
    """Whether every user can reach it, as far as modes tell."""
    while path != "/":
        if not os.stat(path).st_mode & 0o001:
            return False
        path = os.path.dirname(path)
    return True


def open_to_all(directory: str) -> str:
    """The directory under a name by which other users reach it as well: a checkout may be below
    /root. Nothing can be written to it there, so that it is not removed by mistake."""
    if os.geteuid() != 0 or _is_open(directory):
        return directory
    for place in PLACES:
        if os.path.isdir(place) and not os.path.ismount(place) and not TOP.startswith(f"{place}/") \
                and not directory.startswith(f"{place}/") and _is_open(place):
            try:
                make_private()
                mount(directory, place, None, MS_BIND)
                mount(directory, place, None, MS_BIND | MS_REMOUNT | MS_RDONLY)
            except OSError:
                break  # then rows for other users fail, and say why
            return place
    return directory
