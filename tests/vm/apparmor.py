# SPDX-License-Identifier: LGPL-2.1-or-later
"""The AppArmor profiles of dist/apparmor in force, and what the kernel says that they denied.

The files are loaded as they are shipped. What differs in here is said by AppArmor's own means: programs are
in /payload/bin (an alias), sockets of tests in directories of theirs (local rules). The helper's profile,
which systemd applies by AppArmorProfile=, is attached to the program, so that each helper has it.
"""
import os
import re
from typing import List

import container
import lab
from support import tap

PROFILES = "/etc/apparmor.d"
SHIPPED = "/payload/apparmor"
SECURITY = "/sys/kernel/security"
HELPER, WORKER, EXPORTER = "qemu-pr-helper", "qemu-pr-mpath", "qemu-pr-exporter"
NAMES = (HELPER, WORKER, EXPORTER)
#: What tests have elsewhere: libraries that the image has not got, directories for sockets.
LOCAL = "/payload/lib/*.so* mr,\n/{run,tmp}/** rwkl,\n"
INSTALLED = {HELPER: "/usr/bin", WORKER: "/usr/libexec", EXPORTER: "/usr/bin"}


def load(attached: bool = True) -> None:
    """The profiles, in enforce mode. attached: the helper's to its program."""
    if not os.path.exists("/sys/module/apparmor/parameters/enabled"):
        raise tap.Skip("the kernel has no AppArmor")
    if not os.path.exists(f"{SECURITY}/apparmor"):
        container.mount("securityfs", SECURITY, "securityfs")
    os.makedirs(f"{PROFILES}/local", exist_ok=True)
    lab.write(f"{PROFILES}/tunables/alias", "".join(
        f"alias {INSTALLED[name]}/{name} -> /payload/bin/{name},\n" for name in NAMES))
    for name in NAMES:
        lab.write(f"{PROFILES}/local/{name}", LOCAL)
    for name in (HELPER, EXPORTER):
        text = lab.read(f"{SHIPPED}/{name}")
        if attached:
            text = text.replace(f"profile {HELPER} flags", f"profile {HELPER} /usr/bin/{HELPER} flags")
        lab.write(f"{PROFILES}/{name}", text)
        lab.run("apparmor_parser", "--replace", "--skip-cache", f"{PROFILES}/{name}")


def add(name: str, rule: str) -> None:
    """As an administrator does."""
    with open(f"{PROFILES}/local/{name}", "a", encoding="utf-8") as file:
        file.write(f"{rule}\n")
    lab.run("apparmor_parser", "--replace", "--skip-cache", f"{PROFILES}/{name}")


def label(pid: int) -> str:
    """Such as "qemu-pr-helper (enforce)"."""
    return lab.read(f"/proc/{pid}/attr/current").strip()


def become(profile: str) -> None:
    """This process has the profile from now on, as it is: all its capabilities and no filter."""
    lab.write("/proc/thread-self/attr/current", f"changeprofile {profile}")


class Denials:
    """What the kernel has said since the last look."""

    def __init__(self) -> None:
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self._fd, 0, os.SEEK_END)

    def collect(self) -> List[str]:
        found = []
        while True:
            try:
                text = os.read(self._fd, 8192).decode("utf-8", "replace").partition(";")[2]
            except BlockingIOError:
                return found
            except BrokenPipeError:  # overwritten meanwhile
                continue
            if re.search(r'apparmor="DENIED".* profile="[^"]*qemu-pr-', text):
                found.append(text.splitlines()[0])

    def none(self) -> None:
        denied = self.collect()
        if denied:
            raise AssertionError("denied by a profile:\n" + "\n".join(denied[:20]))
