# SPDX-License-Identifier: LGPL-2.1-or-later
"""On the host: the two kinds of virtual machine, and their life.

An emulated one is QEMU, which translates every instruction (TCG): slow, but an ordinary kernel
with several processors, Landlock, AppArmor and NVMe disks. The other is user-mode-linux: its kernel is a
program of this machine, and what runs on it are processes that this program traces, at the
processor's own speed. It has one processor, and none of these three.

Both have two disks, root and payload, neither of which is written to, and two serial lines: the
first is for people, the second for what guest.py has to say. The kernel's messages go to a file. For
machines in there the root's image can be a third disk, as it was in the beginning.
"""
import contextlib
import fcntl
import os
import resource
import signal
import subprocess
from typing import Dict, Iterator, List, NamedTuple, Optional, Set

QEMU = "qemu-system-x86_64"
SHARED_MEMORY = "/dev/shm"
KERNEL_ARGUMENTS = ["quiet", "loglevel=4", "panic=-1", "printk.devkmsg=on",
                    "root=PARTUUID=6c616201-01", "rootfstype=ext4", "rw", "init=/init"]


class Command(NamedTuple):
    """How to start a virtual machine."""
    words: List[str]
    directory: Optional[str] = None
    environment: Optional[Dict[str, str]] = None
    processors: Optional[Set[int]] = None  # where it runs; None: anywhere


def emulated(image: str, work: str, settings: dict, accelerator: str, shell: bool) -> Command:
    """work: a directory for this run, with payload.img."""
    arguments = ["console=ttyS0", "mitigations=off", "nokaslr", "cryptomgr.notests",
                 "random.trust_cpu=on", "no_timer_check", "tsc=reliable", "rootwait",
                 # Two NVMe hosts in one machine are two disks, not two paths of one.
                 "nvme_core.multipath=N",
                 "payload=/dev/nvme0n1,/dev/nvme0n2", *KERNEL_ARGUMENTS]
    lines = ["-serial", "mon:stdio", "-serial", "null"] if shell else [
        "-serial", f"file:{console(work)}", "-chardev", "stdio,id=guest,signal=off",
        "-serial", "chardev:guest"]
    if settings["ROOT"]:
        lines += ["-drive", f"if=none,id=again,format=raw,readonly=on,{unlocked(image)}/root.img",
                  "-device", "nvme-ns,bus=disks,nsid=3,drive=again"]
    return Command([
        QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-accel", accelerator, "-cpu", "max", "-M", "pc", "-bios", "qboot.rom",
        "-m", str(settings["MEMORY"]), "-smp", str(settings["CPUS"]),
        "-kernel", os.path.join(image, "vmlinux"), "-append", " ".join(arguments),
        "-device", "nvme,id=disks,serial=vm",
        "-drive", f"if=none,id=root,format=raw,snapshot=on,{unlocked(image)}/root.img",
        "-device", "nvme-ns,bus=disks,nsid=1,drive=root",
        "-drive", f"if=none,id=payload,format=raw,snapshot=on,file={work}/payload.img",
        "-device", "nvme-ns,bus=disks,nsid=2,drive=payload", *lines])


def unlocked(directory: str) -> str:
    """The beginning of a file's name for -drive. Nothing writes to the image, but user-mode-linux locks
    the whole of it to read, which QEMU takes for a writer's lock."""
    return f"file.locking=off,file.filename={directory}"


def user_mode(image: str, work: str, settings: dict, shell: bool, processor: int,
              registers: str) -> Command:
    """registers: the library of tests/preload/umlregs.c. Its libc is below the image, where it looks for it relative to its working directory. It is
    kept on one processor: kernel and program wait for each other by turns, and to wake each other on
    the same processor takes a third less time."""
    environment = dict(os.environ, LD_LIBRARY_PATH="lib")
    if os.path.exists(registers):
        environment["LD_PRELOAD"] = registers
    # It keeps its memory in a file, for which it likes /dev/shm best; in a container that is small.
    for name in ["TMPDIR", "TMP", "TEMP"]:
        environment.pop(name, None)
    if free_megabytes(SHARED_MEMORY) < settings["MEMORY"] + 64:
        environment["TMPDIR"] = work
    lines = ["ssl=null", "ssl0=fd:0,fd:1"] if shell else ["ssl=null", "ssl1=fd:0,fd:1"]
    if settings["ROOT"]:
        lines.append(f"ubd2r={image}/root.img")
    return Command([
        os.path.join(image, "linux.uml"), f"mem={settings['MEMORY']}M",
        f"ubd0={work}/written,{image}/root.img", f"ubd1={work}/payload.img",
        "payload=/dev/ubdb", *KERNEL_ARGUMENTS, "con=null", "con0=null,fd:2", *lines],
        image, environment, {processor})


@contextlib.contextmanager
def processor(directory: str) -> Iterator[int]:
    """One that no other machine has taken by a lock in that directory, as long as there is one."""
    available = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as locks:
        for number in available:
            lock = locks.enter_context(open(os.path.join(directory, f"processor{number}"), "w",
                                            encoding="utf-8"))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield number
                return
        yield available[os.getpid() % len(available)]


def console(work: str) -> str:
    """Where the kernel's messages are."""
    return os.path.join(work, "console")


def free_megabytes(directory: str) -> int:
    with contextlib.suppress(OSError):
        status = os.statvfs(directory)
        return status.f_bavail * status.f_frsize >> 20
    return 0


def _guard(group: int) -> int:
    """A process that kills a group of processes when the fd that is returned is closed, which the
    end of this process does, too, no matter how. user-mode-linux needs it: its kernel can be
    told to end with its parent, but what it traces would be left behind."""
    watched, ours = os.pipe()
    pid = os.fork()
    if pid:
        os.close(watched)
        return ours
    with contextlib.suppress(BaseException):
        os.setsid()
        os.closerange(0, watched)
        os.closerange(watched + 1, ours + 64)
        os.read(watched, 1)
        os.killpg(group, signal.SIGKILL)
    os._exit(0)


@contextlib.contextmanager
def started(command: Command, work: str) -> Iterator[subprocess.Popen]:
    """A virtual machine, with guest.py's line as its standard output, that does not outlive us."""
    def prepare() -> None:
        if command.processors:
            os.sched_setaffinity(0, command.processors)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # user-mode-linux's panic is an abort()

    with open(console(work), "ab") as messages:
        process = subprocess.Popen(command.words, cwd=command.directory, env=command.environment,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages,
                                   start_new_session=True, preexec_fn=prepare)
    guard = _guard(process.pid)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        os.close(guard)
        process.stdin.close()
        process.stdout.close()
        process.wait()


def call(command: Command) -> int:
    """A virtual machine on this terminal."""
    return subprocess.call(command.words, cwd=command.directory, env=command.environment)
