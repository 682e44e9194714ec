# SPDX-License-Identifier: LGPL-2.1-or-later
"""Process 1 of a cluster's node: Debian's own root file system, in a QEMU in the lab, or in namespaces.
cluster.py starts it, and tells it what to do by two lines, serial ones in a QEMU:

    ttyS1   {"run": [PROGRAM, ARGUMENT...]}    a program: {"status": CODE, "output": TEXT}
            {"start": [PROGRAM, ...]}          a daemon, whose output goes to the console: {}
            {"file": PATH, "text": TEXT}       a file: {}
            {"read": PATH}                     a file, and the node's time: {"text": TEXT, "clock": SECONDS}
    ttyS2   BLOCK NUMBER                       a write of that number into a block of the shared disk,
                                               past the page cache: its errno, or 0

It does what an installed Debian has had from its maintainer scripts, its boot and udev, and no more.
"""
import json
import mmap
import os
import stat
import struct
import subprocess
import sys
import threading
import time
import tty
from typing import Callable, NoReturn

DISK = "/dev/sda"
BLOCK = 4096
STATE = "/state"
#: In namespaces: the two lines' fds, the shared disk, its name, where the node's own state is.
ARGUMENTS = sys.argv[1:]
MODULES = ["virtio_pci", "virtio_scsi", "virtio_net", "sd_mod", "sg"]
#: Where cluster software remembers things: on a disk of the node's own.
KEPT = ["/var/lib/pacemaker", "/var/lib/corosync", "/etc/corosync"]
USER, GROUP = 189, 189


def mount(kind: str, target: str) -> None:
    os.makedirs(target, exist_ok=True)
    subprocess.run(["mount", "-t", kind, kind, target], check=True)


def word(name: str) -> str:
    """One of the kernel's command line."""
    with open("/proc/cmdline", encoding="ascii") as words:
        return dict(one.partition("=")[::2] for one in words.read().split())[name]


def keep(state: str) -> None:
    for path in KEPT:
        kept = state + path
        os.makedirs(kept, exist_ok=True)
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "--bind", kept, path], check=True)


def add_user() -> None:
    """As pacemaker-common's and corosync's maintainer scripts do."""
    with open("/etc/passwd", "r+", encoding="ascii") as file:
        if "hacluster" not in file.read():
            file.write(f"hacluster:x:{USER}:{GROUP}::/var/lib/pacemaker:/usr/sbin/nologin\n")
            with open("/etc/group", "a", encoding="ascii") as groups:
                groups.write(f"haclient:x:{GROUP}:\n")
    for path in ["/var/lib/pacemaker", "/var/log/pacemaker", "/var/log/cluster", "/var/log/corosync",
                 "/var/log/crmsh",
                 *(f"/var/lib/pacemaker/{name}" for name in ("blackbox", "cib", "cores", "pengine"))]:
        os.makedirs(path, exist_ok=True)
        os.chown(path, USER, GROUP)


def prepare() -> None:
    os.environ.update(PATH="/usr/sbin:/usr/bin:/usr/local/bin", HOME="/root", LC_ALL="C")
    for target in ("/run", "/tmp", "/dev/shm", "/var/log"):
        mount("tmpfs", target)
    for path in ("/run/cluster", "/run/corosync-qdevice", "/run/lock", "/run/resource-agents",
                 "/srv/shared"):
        os.makedirs(path, exist_ok=True)
    if ARGUMENTS:
        mount("tmpfs", "/dev/disk")
        keep(ARGUMENTS[4])
    else:
        mount("sysfs", "/sys")
        subprocess.run(["modprobe", "-a", *MODULES], check=True)
        os.makedirs(STATE, exist_ok=True)
        subprocess.run(["mount", "-t", "ext4", word("state"), STATE], check=True)
        keep(STATE)
    add_user()


def find_disk() -> str:
    """As udev does, a name for the disk. Not a link in namespaces: what it has there is a whole disk to
    its node, even if it is a map of the host's."""
    os.makedirs("/dev/disk/by-id", exist_ok=True)
    if ARGUMENTS:
        disk, name = ARGUMENTS[2:4]
        os.mknod(f"/dev/disk/by-id/{name}", 0o600 | stat.S_IFBLK, os.stat(disk).st_rdev)
        return f"/dev/disk/by-id/{name}"
    while not os.path.exists(DISK):
        threading.Event().wait(0.05)
    with open("/sys/block/sda/device/wwid", encoding="ascii") as file:
        name = file.read().strip().replace("naa.", "wwn-0x")
    os.symlink(DISK, f"/dev/disk/by-id/{name}")
    return DISK


def line(number: int) -> int:
    """The first or the second one."""
    if ARGUMENTS:
        return int(ARGUMENTS[number])
    fd = os.open(f"/dev/ttyS{number + 1}", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    tty.setraw(fd)
    return fd


def serve(fd: int, answer: Callable[[str], str]) -> None:
    os.set_inheritable(fd, False)
    os.write(fd, b"ready\n")
    rest = b""
    while True:
        rest += os.read(fd, 4096)
        *requests, rest = rest.split(b"\n")
        for request in requests:
            reply = answer(request.decode()).encode() + b"\n"
            while reply:
                reply = reply[os.write(fd, reply):]


def carry_out(request: str) -> str:
    told = json.loads(request)
    if "run" in told:
        try:
            done = subprocess.run(told["run"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False)
        except OSError as error:
            return json.dumps({"status": 127, "output": str(error)})
        return json.dumps({"status": done.returncode,
                           "output": done.stdout.decode("utf-8", "backslashreplace")})
    if "start" in told:
        # pylint: disable-next=consider-using-with
        subprocess.Popen(told["start"], stdin=subprocess.DEVNULL, start_new_session=True)
        return "{}"
    if "read" in told:
        with open(told["read"], encoding="utf-8", errors="backslashreplace") as file:
            return json.dumps({"text": file.read(), "clock": time.monotonic()})
    with open(told["file"], "w", encoding="utf-8") as file:
        file.write(told["text"])
    return "{}"


def write_block(disk: str, request: str) -> str:
    block, number = (int(one) for one in request.split())
    fd = os.open(disk, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    try:
        with mmap.mmap(-1, BLOCK) as buffer:
            buffer[:8] = struct.pack(">Q", number)
            os.pwritev(fd, [buffer], block * BLOCK)
            return "0"
    except OSError as error:
        return str(error.errno)
    finally:
        os.close(fd)


def main() -> NoReturn:
    """Process 1 takes what daemons leave behind; the rest is its child's."""
    prepare()
    if os.fork() == 0:
        disk = find_disk()
        writes = threading.Thread(target=serve, daemon=True, args=(
            line(1), lambda request: write_block(disk, request)))
        writes.start()
        serve(line(0), carry_out)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            sys.exit("the node's child has ended")


if __name__ == "__main__":
    main()
