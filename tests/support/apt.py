# SPDX-License-Identifier: LGPL-2.1-or-later
"""Where this system has its Debian packages from: other releases are on the same mirror."""
import contextlib
import subprocess


class Unavailable(Exception):
    """This system has no such source; the message says so."""


def release() -> str:
    """The code name of the release that this system is; empty if it has none."""
    with contextlib.suppress(FileNotFoundError), open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VERSION_CODENAME="):
                return line.partition("=")[2].strip().strip('"')
    return ""


def mirror(suffix: str = "") -> str:
    """The source of this system's own release, or of that release with "-security"; of a system that
    has no such line, its release's."""
    found = {}
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        lines = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)",
             "Created-By: Packages"], check=True, stdin=subprocess.DEVNULL, capture_output=True,
            text=True).stdout
        for line in lines.splitlines():
            suite, uri = line.split()
            found.setdefault(suite, uri)
    for suite in (release() + suffix, release()):
        if suite in found:
            return found[suite]
    raise Unavailable("apt has no package source of this system's release")
