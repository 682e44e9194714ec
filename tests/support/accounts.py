# SPDX-License-Identifier: LGPL-2.1-or-later
"""The helper's own user, as packages make it, for the processes of a run."""
import atexit
import os
import pwd
import tempfile
from typing import NamedTuple

from . import mounts

USER = "qemu-pr-helper"
PASSWD = "/etc/passwd"
#: A number that no system gives to its own or to people (systemd: Users, Groups, UIDs and GIDs).
NUMBER = 64701
LINE = f"{USER}:x:{NUMBER}:{NUMBER}:SCSI persistent reservations:/:/usr/sbin/nologin\n"


class Ids(NamedTuple):
    uid: int
    gid: int


def enter() -> None:
    """From now on this process and its children have the user, if that can be done and the system has
    none. A mount namespace belongs to a thread, so this has to come before there are others."""
    try:
        pwd.getpwnam(USER)
        return
    except KeyError:
        pass
    try:
        with open(PASSWD, encoding="utf-8", errors="surrogateescape") as file:
            text = file.read()
        mounts.make_private()
        cover(text + LINE)
    except OSError:
        pass  # without root there is no user to become anyway


def cover(text: str) -> None:
    """Let /etc/passwd say this, in a namespace of our own. The file stays until the end of the run:
    nothing can be mounted on one that is gone."""
    fd, path = tempfile.mkstemp(prefix="prh-passwd-")
    atexit.register(os.unlink, path)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(path, 0o644)
    mounts.mount(path, PASSWD, None, mounts.MS_BIND)


def own() -> Ids:
    """Whom a helper becomes that root starts and does not tell."""
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        entry = pwd.getpwnam("nobody")
    return Ids(entry.pw_uid, entry.pw_gid)
