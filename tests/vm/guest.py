# SPDX-License-Identifier: LGPL-2.1-or-later
"""Process 1 of the virtual machine: runs one test file and tells the host all about it.

The tests run in a child, so that this process can still report when they hang in the kernel. What
the child prints goes to the host line by line, over the second serial port (the first is the
kernel's console). Lines that begin with CONTROL are between us and the host:

    deadline SECONDS NAME       something will be heard within that time; NAME is under way
    left NUMBER                 so many of the tests asked for are for an emulated machine
    end                         all is said

The child says the same to us before each test. If then nothing comes in time, we show where every
process is stuck, and give up; if we do not manage even that, the host ends the virtual machine.
"""
import ctypes
import fcntl
import importlib
import json
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty
import types
from typing import TYPE_CHECKING, Iterable, List, NoReturn, Tuple

if TYPE_CHECKING:
    import apparmor
    from support.tap import Test

PAYLOAD = "/payload"
PORT = "/dev/ttyS1"
CONSOLE = "/dev/ttyS0"
CONTROL = "\x01"
MARK = "== "
#: Seconds for what comes before the first test and after the last one.
MARGIN = 60.0
#: The tests' own limits come first, then ours, then the host's.
GRACE = 5.0
SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40
#: How the machine ends: QEMU by a reboot, which it is told not to do; user-mode-linux would do it.
RB_AUTOBOOT, RB_POWER_OFF = 0x01234567, 0x4321FEDC
#: Rows and columns; a serial line does not tell.
SHELL_SIZE = struct.pack("HHHH", 40, 120, 0, 0)


def configuration() -> dict:
    with open(os.path.join(PAYLOAD, "configuration.json"), encoding="utf-8") as file:
        return json.load(file)


def version(package: str) -> Tuple[int, ...]:
    """Of a package in here, or of the kernel's; its numbers, for comparison."""
    text = (os.uname().release if package == "kernel" else
            configuration()["versions"][package])
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def user_mode() -> bool:
    """Whether the kernel is a program of the host's; see machine.py."""
    return os.path.exists("/dev/ubda")


def prepare() -> None:
    """What is missing to look like an ordinary system."""
    os.environ.update(configuration()["environment"], HOME="/root", TERM="linux", PATH=(
        f"{PAYLOAD}/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/usr/local/bin"))
    os.umask(0o022)
    os.chdir("/root")
    socket.sethostname("vm")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP | IFF_RUNNING))
    os.makedirs("/dev/pts", exist_ok=True)
    subprocess.run(["mount", "-t", "devpts", "-o", "ptmxmode=0666", "devpts", "/dev/pts"], check=True)
    for source, target in [("/proc/self/fd", "/dev/fd"), ("/proc/self/fd/0", "/dev/stdin"),
                           ("/proc/self/fd/1", "/dev/stdout"), ("/proc/self/fd/2", "/dev/stderr")]:
        if not os.path.lexists(target):
            os.symlink(source, target)
    libraries = os.path.join(PAYLOAD, "lib")
    for name in os.listdir(libraries):
        os.symlink(os.path.join(libraries, name), os.path.join("/usr/lib/x86_64-linux-gnu", name))


def margin() -> float:
    """As support.scaled(), which is not there yet in process 1."""
    return MARGIN * float(os.environ.get("TEST_TIME_SCALE", "1"))


def deadline(seconds: float, name: str) -> str:
    return f"{CONTROL}deadline {seconds:.0f} {name}\n"


# -- the child


def choose(module: types.ModuleType, tests: "List[Test]", rows: str) -> "List[Test]":
    """Those for this kind of machine, by the file's EMULATED: patterns of names of tests, and what
    these need that user-mode-linux has not. rows: "all", where user-mode-linux cannot, it skips;
    "emulated", only those that it cannot; "other", only the others."""
    from support import tap  # pylint: disable=import-outside-toplevel
    needs = {one.name: what for pattern, what in getattr(module, "EMULATED", {}).items()
             for one in tap.select(tests, [pattern])}

    def skipping(one: "Test") -> "Test":
        def skip(_context: object) -> NoReturn:
            raise tap.Skip(f"needs {needs[one.name]}: --accel=tcg has it")
        return one._replace(run=skip, arguments=())
    if rows == "all":
        return [skipping(one) if user_mode() and one.name in needs else one for one in tests]
    return [one for one in tests if (one.name in needs) == (rows == "emulated")]


def confine() -> "apparmor.Denials":
    """Programs of ours have their AppArmor profiles from now on."""
    import apparmor  # pylint: disable=import-outside-toplevel
    apparmor.load()
    return apparmor.Denials()


def run_tests(words: List[str]) -> int:
    """Run the test file of the configuration in this process; 1 if a test failed."""
    sys.path.insert(0, os.path.join(PAYLOAD, "tests"))
    # Here and not above: process 1 starts faster without.
    from support import scaled, tap  # pylint: disable=import-outside-toplevel
    settings = configuration()
    suite = settings["suite"]
    module = importlib.import_module(f"test_{suite}")
    named = tap.select(tap.collect(module, suite), words)
    if not named:
        print("not ok 1 - no such test")
        return 1
    tests = choose(module, named, settings["rows"])
    if not settings["shell"]:
        print(f"{CONTROL}left {len(named) - len(tests)}", flush=True)
    if not tests:
        print("1..0")
        return 0
    tests = [one for one in tests for _ in range(settings["repeat"])]
    denials = confine() if settings["confined"] else None
    started = time.monotonic()  # counts from the kernel's start
    with module.open_lab(settings) as make_context:
        if settings["timings"]:
            print(f"# {started:.1f} s to here, {time.monotonic() - started:.1f} s for the devices")
        def announced(one: tap.Test) -> tap.Context:
            if not settings["shell"]:
                print(deadline(scaled(one.limit), one.full_name), end="", flush=True)
            context = make_context(one)
            if denials:
                context.cleanup.callback(denials.none)
            return context
        result = tap.run(tests, announced, settings["peer"], settings["timings"])
        if not settings["shell"]:
            print(deadline(margin(), "cleaning up"), end="", flush=True)
    return result


def start_child(words: List[str]) -> "tuple[int, int]":
    """(pid, fd of its output)"""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        os.set_blocking(ours, False)
        return pid, ours
    result = 1
    try:
        os.setsid()
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in [(nothing, 0), (theirs, 1), (theirs, 2)]:
            os.dup2(source, target)
        os.closerange(3, 64)
        # Line-buffered, so that the lines of both streams stay whole.
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace",
                          closefd=False)
        sys.stderr = sys.stdout
        result = run_tests(words)
    except BaseException:  # pylint: disable=broad-except
        import traceback  # pylint: disable=import-outside-toplevel
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(result)


# -- process 1


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as file:
            return file.read().replace("\0", " ")
    except OSError as error:
        return f"({error})"


def mark_kernel_log(text: str) -> None:
    with open("/dev/kmsg", "w", encoding="utf-8") as log:
        log.write(f"{MARK}{text}\n")


def kernel_log(most: int = 60) -> List[str]:
    """What the kernel has said since the last mark, or the end of that."""
    lines = []
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                head, _, text = os.read(fd, 8192).decode("utf-8", "replace").partition(";")
            except BlockingIOError:
                break
            except BrokenPipeError:  # overwritten meanwhile
                continue
            if text.startswith(MARK):
                lines = []
            microseconds = int(head.split(",")[2])
            lines.append(f"[{microseconds / 1e6:.3f}] {text.splitlines()[0]}")
    finally:
        os.close(fd)
    return lines[-most:]


def stuck() -> Iterable[str]:
    """Where every process of user space is."""
    for name in sorted(filter(str.isdigit, os.listdir("/proc")), key=int):
        command = read_text(f"/proc/{name}/cmdline").strip()
        if not command or int(name) == os.getpid():
            continue
        try:
            threads = os.listdir(f"/proc/{name}/task")
        except FileNotFoundError:  # has ended meanwhile
            continue
        for thread in threads:
            directory = f"/proc/{name}/task/{thread}"
            stack = [line.split()[-1].partition("+")[0]
                     for line in read_text(f"{directory}/stack").splitlines() if line]
            state = read_text(f"{directory}/stat").rpartition(")")[2].split()[:1]
            yield f"{thread} ({command}) {' '.join(state)}: {' < '.join(stack)}"


def reap_orphans(but: int) -> None:
    """What process 1 is for; the one that is waited for elsewhere stays."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == but:
            return
        os.waitpid(ended.si_pid, 0)


class Port:
    """The line to the host."""

    def __init__(self) -> None:
        self.fd = os.open(PORT, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self.fd)

    def send(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        while data:
            data = data[os.write(self.fd, data):]


class Watch:
    """Passes on what the child says, as long as it says something in time."""

    def __init__(self, port: Port):
        self.port = port
        self.planned, self.results = 1, 0
        self.name = "starting the tests"
        self.allow(margin())

    def allow(self, seconds: float) -> None:
        self.expires = time.monotonic() + seconds + GRACE
        self.port.send(deadline(seconds + 3 * GRACE, self.name))

    def line(self, line: str) -> None:
        if line.startswith(CONTROL + "left"):
            self.port.send(line + "\n")
            return
        if line.startswith(CONTROL):
            _, seconds, self.name = line.split(" ", 2)
            self.allow(float(seconds))
            return
        if line.startswith("1.."):
            self.planned = int(line[3:])
        elif line.startswith(("ok ", "not ok ")):
            self.results += 1
        self.port.send(line + "\n")

    def follow(self, output: int, pid: int) -> bool:
        """Until the child has ended: true, or its time is over: false."""
        rest = b""
        while time.monotonic() < self.expires:
            reap_orphans(pid)
            if not select.select([output], [], [], 1.0)[0]:
                continue
            data = os.read(output, 65536)
            if not data:
                if rest:
                    self.line(rest.decode("utf-8", "backslashreplace"))
                return True
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.line(line.decode("utf-8", "backslashreplace"))
        return False


def run_watched(words: List[str]) -> None:
    port = Port()
    watch = Watch(port)
    pid, output = start_child(words)
    finished = watch.follow(output, pid)
    if finished:
        _, status = os.waitpid(pid, 0)
        if watch.results < watch.planned:
            port.send(f"not ok {watch.results + 1} - {watch.name}\n"
                      f"# the tests ended early: {os.waitstatus_to_exitcode(status)}\n")
    else:
        port.send(f"not ok {watch.results + 1} - {watch.name}\n# no result in time\n")
        for line in [*stuck(), *kernel_log()]:
            port.send(f"# {line}\n")
    port.send(f"{CONTROL}end\n")
    termios.tcdrain(port.fd)


def run_shell() -> None:
    """A shell on the console; its exit ends the virtual machine."""
    tests = configuration()["suite"]
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fd = os.open(CONSOLE, os.O_RDWR)
        fcntl.ioctl(fd, termios.TIOCSCTTY, 0)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, SHELL_SIZE)
        for target in range(3):
            os.dup2(fd, target)
        os.environ["PS1"] = "vm# "
        if tests:
            leave = "exit" if user_mode() else "exit or Ctrl-a x"
            print(f"run-tests [TEST...] runs {tests}; {leave} leaves", flush=True)
            os.symlink(os.path.join(PAYLOAD, "tests/vm/run-tests"), "/usr/local/bin/run-tests")
        os.execv("/usr/bin/busybox", ["sh"])
    while True:
        try:
            if os.wait()[0] == pid:
                break
        except InterruptedError:
            pass


def main() -> NoReturn:
    try:
        prepare()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if configuration()["shell"]:
            run_shell()
        else:
            run_watched(configuration()["only"])
    except BaseException:  # pylint: disable=broad-except
        import traceback  # pylint: disable=import-outside-toplevel
        traceback.print_exc()
    finally:
        libc = ctypes.CDLL(None)
        while True:
            libc.reboot(RB_POWER_OFF if user_mode() else RB_AUTOBOOT)
