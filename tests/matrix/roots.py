# SPDX-License-Identifier: LGPL-2.1-or-later
"""A Debian of another release in a directory, made by mmdebstrap once and then kept.

Nothing that runs in it changes it: each command sees it through an overlay, in a mount namespace of
its own, which ends with the command. What is to stay is bound in. All of that needs root.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
from typing import Dict, Iterator, List, Sequence, Tuple

from support import apt, scaled

#: mmdebstrap is granted this, on a machine that does much else.
MAKE_SECONDS = 1200
#: A mirror that stands still for some weeks is good enough to build against. Signatures are checked
#: all the same.
APT_OPTIONS = ('Acquire::Check-Valid-Until "false"', 'APT::Install-Recommends "false"',
               'APT::Sandbox::User "root"')
CAP_SYS_ADMIN, CAP_SYS_CHROOT, CAP_MKNOD = 21, 18, 27

#: In the new mount namespace; the overlay's upper layer is in memory, so that it needs no cleaning
#: up, and works where the cache itself is on an overlay.
ENTER = """
work=$1 root=$2; shift 2
mount -t tmpfs -o mode=755 matrix "$work"
mkdir "$work/upper" "$work/work" "$work/root"
mount -t overlay -o "lowerdir=$root,upperdir=$work/upper,workdir=$work/work" matrix "$work/root"
mount -t proc proc "$work/root/proc"
mount --rbind /sys "$work/root/sys"
mount --rbind /dev "$work/root/dev"
mount -t tmpfs -o mode=1777 tmp "$work/root/tmp"
mount -t tmpfs -o mode=755 run "$work/root/run"
cp --remove-destination /etc/resolv.conf "$work/root/etc/resolv.conf"
while [ "$1" != -- ]; do
    mkdir -p "$work/root$2"
    mount --bind "$1" "$work/root$2"
    shift 2
done
shift
exec chroot "$work/root" "$@"
"""


class Unavailable(Exception):
    """There can be no such root on this machine; the message says why."""


def missing_right() -> str:
    """Why no root can be made or entered here; '' if nothing speaks against it."""
    if os.geteuid() != 0:
        return "it needs root: mount, chroot"
    with open("/proc/self/status", encoding="ascii") as file:
        held = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff"))
    for bit, name in ((CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_SYS_CHROOT, "CAP_SYS_CHROOT"),
                      (CAP_MKNOD, "CAP_MKNOD")):
        if not held >> bit & 1:
            return f"it needs {name}"
    return "" if shutil.which("mmdebstrap") else "mmdebstrap is not installed"


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Two runs do not make the same one."""
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def execute(argv: List[str], limit: float) -> Tuple[int, str]:
    """Exit status and all that is printed; 124 if the limit ends it, and all that it started."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="backslashreplace",
                               start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return 124, f"{output}\nnot finished after {limit:.0f} s"


class Root:
    def __init__(self, cache: str, release: str, packages: Sequence[str], kind: str = ""):
        """cache: the directory for all of them. kind: what distinguishes two of one release."""
        self.release = release
        key = hashlib.sha256("\n".join([*packages, *APT_OPTIONS]).encode()).hexdigest()[:12]
        self.name = release + (f"-{kind}" if kind else "")
        self.path = os.path.join(cache, f"{self.name}-{key}")
        self._cache, self._packages = cache, packages

    def exists(self) -> bool:
        return os.path.exists(os.path.join(self.path, "etc", "os-release"))

    def make(self) -> None:
        reason = missing_right()
        if reason:
            raise Unavailable(reason)
        os.makedirs(self._cache, exist_ok=True)
        with locked(os.path.join(self._cache, f"{self.name}.lock")):
            if self.exists():
                return
            try:
                mirror = apt.mirror()
            except apt.Unavailable as error:
                raise Unavailable(str(error)) from error
            partial = self.path + ".partial"
            shutil.rmtree(partial, ignore_errors=True)
            # What it mounts in there ends with it, however it ends: nothing is ever removed through it.
            command = ["unshare", "--mount", "--propagation=private", "mmdebstrap",
                       "--mode=root", "--variant=minbase", "--format=directory",
                       *(f"--aptopt={option}" for option in APT_OPTIONS),
                       "--dpkgopt=force-unsafe-io",  # what breaks off is made again
                       f"--include={','.join(self._packages)}", self.release, partial, mirror]
            status, output = execute(command, scaled(MAKE_SECONDS))
            if status:
                last = [line for line in output.splitlines() if line.startswith("E:")][:1] or \
                    output.splitlines()[-1:]
                raise Unavailable(f"mmdebstrap {self.release}: {(last or ['failed'])[0]}")
            os.rename(partial, self.path)

    def command(self, work: str, script: str, binds: Dict[str, str]) -> List[str]:
        """argv that runs this bash script in it, as root. work: an empty directory, to mount on.
        binds: what is to be seen inside, by where."""
        bound = [word for inside, outside in binds.items() for word in (outside, inside)]
        kept = [f"{name}={os.environ[name]}" for name in ("TEST_TIME_SCALE", "http_proxy")
                if name in os.environ]
        return ["unshare", "--mount", "--propagation=private", "sh", "-ec", ENTER, "enter", work,
                self.path, *bound, "--", "env", "-i", "HOME=/root", "LC_ALL=C.UTF-8",
                "DEBIAN_FRONTEND=noninteractive",
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *kept,
                "bash", "-euc", script]
