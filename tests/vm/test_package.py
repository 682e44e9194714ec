# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Debian packages by a real dpkg: our helper takes the distribution's one's place and gives it back.

The image's packages were unpacked without dpkg, so its database begins empty. Each test begins with
the distribution's qemu-system-common and nothing of ours installed, and has to end so. tests/dist/vm
brings the packages along.
"""
import contextlib
import glob
import hashlib
import os
import re
import stat
import subprocess
import tempfile
from typing import Callable, Dict, Iterator, List

import lab
from support import tap
from support.process import Helper
from support.tap import limit, test

PACKAGES = ["peer"]
FILES = "/payload/files"
PROGRAM, THEIR_PROGRAM = "/usr/bin/qemu-pr-helper", "/usr/bin/qemu-pr-helper.qemu"
PAGE = "/usr/share/man/man8/qemu-pr-helper.8.gz"
THEIR_PAGE = "/usr/share/man/man8/qemu-pr-helper.qemu.8.gz"
DATABASE = "/var/lib/dpkg"
#: dpkg's own notes: a log, copies of the database from before, locks, what was ever unpacked. And
#: LIO's: the reservations of its disk.
NOTES = re.compile(rf"{DATABASE}/(.*-old|lock.*|available|triggers/.*|info/format)$"
                   r"|/var/log/dpkg\.log$|/var/target/")
#: Libraries are there, but dpkg does not know; for documentation there is no room.
DPKG = ["dpkg", "--force-depends", "--path-exclude=/usr/share/doc/*"]
KEY = 0xABC


def bootstrap() -> None:
    """dpkg, beside what is there, and an empty database for it."""
    source = f"{FILES}/bootstrap"
    for directory, names, files in os.walk(source):
        target = "/" + os.path.relpath(directory, source)
        for name in names + files:
            old, new = os.path.join(directory, name), os.path.join(target, name)
            if os.path.lexists(new):
                continue
            if os.path.islink(old):
                os.symlink(os.readlink(old), new)
            elif os.path.isdir(old):
                os.mkdir(new)
            else:
                with open(old, "rb") as data, open(new, "wb") as copy:
                    copy.write(data.read())
                os.chmod(new, stat.S_IMODE(os.stat(old).st_mode))
    for name in ("info", "updates", "triggers"):
        os.makedirs(f"{DATABASE}/{name}", exist_ok=True)
    for name in ("status", "available", "diversions"):
        with open(f"{DATABASE}/{name}", "w", encoding="ascii"):
            pass
    # Of the payload, for its own qemu-pr-ctl: here a package brings it.
    for path in glob.glob("/usr/lib/*/libprhelper.so*"):
        os.unlink(path)


def archives(kind: str) -> List[str]:
    return sorted(glob.glob(f"{FILES}/{kind}/*.deb"))


def file_list() -> Dict[str, str]:
    """What each file is. Of most their size and time: dpkg sets that to the archive's."""
    found = {}
    for top in ("/etc", "/opt", "/usr", "/var"):
        for directory, names, files in os.walk(top):
            for path in (os.path.join(directory, name) for name in names + files):
                if not NOTES.match(path):
                    found[path] = describe(path)
    return found


def describe(path: str) -> str:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "-> " + os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return oct(status.st_mode)
    if not path.startswith((DATABASE, PROGRAM)):
        return f"{status.st_mode:o} {status.st_size} {status.st_mtime}"
    with open(path, "rb") as file:
        data = file.read()
    if path == f"{DATABASE}/status":  # the order of its paragraphs means nothing
        data = b"\n\n".join(sorted(data.strip().split(b"\n\n")))
    return f"{status.st_mode:o} {hashlib.sha256(data).hexdigest()}"


class Lab:
    def __init__(self) -> None:
        bootstrap()
        self.disk = lab.Backstore("package")
        self.host, = lab.Iscsi(self.disk, initiators=1).initiators
        self.host.drain()
        lab.run(*DPKG, "--install", *archives("theirs"))
        self.before = file_list()
        self.theirs = describe(PROGRAM)


class Context(tap.Context):
    def __init__(self, made: Lab):
        super().__init__()
        self.lab = made
        self._said: List[str] = []

    def log(self) -> str:
        return "\n".join(self._said)

    def dpkg(self, *arguments: str) -> None:
        done = subprocess.run([*DPKG, *arguments], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        self._said += [f"dpkg {' '.join(arguments)}", done.stdout]
        self.equal(done.returncode, 0, f"exit status of dpkg {arguments[0]}")

    def install(self, kind: str = "ours") -> None:
        """Even if the test fails, the next one begins without."""
        self.cleanup.callback(subprocess.run, ["dpkg", "--force-all", "--purge", *self.names()],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False)
        self.dpkg("--install", *archives(kind))

    @staticmethod
    def names() -> List[str]:
        return [os.path.basename(path).split("_")[0] for path in archives("ours")]

    def versions(self) -> Dict[str, str]:
        """Of the packages that are installed and configured."""
        lines = lab.run("dpkg-query", "--show",
                        "--showformat=${Package} ${Version} ${db:Status-Status}\n").splitlines()
        self.equal([line for line in lines if not line.endswith(" installed")], [],
                   "packages in between")
        return dict(line.split()[:2] for line in lines)

    def in_place(self) -> None:
        """Ours is the program of that name, and the distribution's is kept."""
        self.equal(describe(THEIR_PROGRAM), self.lab.theirs, "the distribution's program")
        self.matches("--status-socket", lab.run(PROGRAM, "--help"), "help of our program")
        for path in (PAGE, THEIR_PAGE):
            self.check(os.path.exists(path), f"{path} is there")
        owner = lab.run("dpkg", "--search", PROGRAM)
        self.matches(r"^diversion by qemu-pr-helper from: " + PROGRAM, owner, "dpkg --search")

    def as_before(self) -> None:
        after = file_list()
        changed = {path: (self.lab.before.get(path), after.get(path))
                   for path in {*after, *self.lab.before}
                   if after.get(path) != self.lab.before.get(path)
                   and not self.was_empty(path, after)}
        self.equal(changed, {}, "files that are not as before")

    def was_empty(self, path: str, after: Dict[str, str]) -> bool:
        """A directory whose contents the image left out: no package has it, and dpkg takes it for
        its own."""
        return (path not in after and self.lab.before[path].startswith("0o4")
                and not any(one.startswith(path + "/") for one in self.lab.before))

    def start(self) -> Helper:
        helper = Helper(PROGRAM, tempfile.mkdtemp(dir="/run"))
        self.cleanup.callback(helper.close)
        return helper.wait_ready()

    def serves(self, helper: Helper) -> None:
        """PERSISTENT RESERVE OUT and IN, and the disk knows of it."""
        def ctl(command: str, *options: str) -> str:
            return lab.run("/usr/bin/qemu-pr-ctl", command, "-k", helper.socket_path, *options,
                           self.lab.host.path)
        ctl("register-ignore", f"--new-key={KEY:x}")
        self.equal([one.key for one in self.lab.disk.registrations()], [KEY], "keys on the disk")
        self.matches(f"0x{KEY:016x}", ctl("keys"), "keys by the helper")
        ctl("clear", "--yes", f"--key={KEY:x}")
        self.equal(self.lab.disk.registrations(), [], "registrations at the end")


@contextlib.contextmanager
def open_lab(_settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    made = Lab()
    yield lambda one: Context(made)


@limit(240)
@test
def takes_the_place_and_gives_it_back(t: Context) -> None:
    t.check("--status-socket" not in lab.run(PROGRAM, "--help"), "it begins with the other one")
    t.install()
    t.in_place()
    t.equal(set(t.versions()) - {"qemu-system-common", "libblkid1",
                                "libjson-c5"}, set(t.names()), "installed")
    t.dpkg("--remove", *t.names())
    t.equal(describe(PROGRAM), t.lab.theirs, "the program after removal")
    t.check(not os.path.exists(THEIR_PROGRAM) and not os.path.exists(THEIR_PAGE),
            "nothing is diverted after removal")
    t.dpkg("--purge", *t.names())
    t.as_before()


@limit(240)
@test
def serves_a_disk(t: Context) -> None:
    t.install()
    t.serves(t.start())


@limit(360)
@test
def upgrade(t: Context) -> None:
    """A client that is served stays served; afterwards it is the new version's turn."""
    t.install()
    old = t.start()
    versions, inode = t.versions(), os.stat(PROGRAM).st_ino
    t.dpkg("--install", *archives("higher"))
    for name in t.names():
        t.equal(t.versions()[name], versions[name] + "+1", f"version of {name}")
    t.check(os.stat(PROGRAM).st_ino != inode, "the program was replaced")
    t.in_place()
    t.serves(old)
    t.serves(t.start())
    t.dpkg("--purge", *t.names())
    t.as_before()


@limit(240)
@test
def upgrade_of_qemu(t: Context) -> None:
    """The distribution's new program does not take ours' place."""
    t.install()
    ours = describe(PROGRAM)
    os.unlink(THEIR_PROGRAM)
    t.dpkg("--install", *archives("theirs"))
    t.equal(describe(PROGRAM), ours, "our program")
    t.in_place()
    t.dpkg("--purge", *t.names())
    t.as_before()


@limit(240)
@test
def qemu_goes_first(t: Context) -> None:
    """Then there is nothing to give back, and no diversion stays."""
    t.install()
    t.dpkg("--purge", "qemu-system-common")
    t.cleanup.callback(lab.run, *DPKG, "--install", *archives("theirs"))
    t.check(not os.path.exists(THEIR_PROGRAM), "the distribution's program is gone")
    t.dpkg("--purge", *t.names())
    t.check(not os.path.exists(PROGRAM), "a program is left")
    t.equal(lab.run("dpkg-divert", "--list", "*pr-helper*"), "", "diversions")
