# SPDX-License-Identifier: LGPL-2.1-or-later
"""The first words: can it work, and if not, what is missing? And the end."""
import ctypes
import errno
import os
import re
import signal

from support import procfs
from support.process import Program
from support.tap import Skip, cases, test

from .fixture import FAILED, GATE, GOOD, MAPS, Context, Machine, Session, key, write

NOBODY = 65534
PR_SET_SECCOMP, SECCOMP_MODE_FILTER, PR_SET_NO_NEW_PRIVS = 22, 2, 38
CLOSE_RANGE = 436


class Filter(ctypes.Structure):
    """struct sock_filter"""
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8),
                ("k", ctypes.c_uint32)]


class Filters(ctypes.Structure):
    """struct sock_fprog"""
    _fields_ = [("count", ctypes.c_ushort), ("first", ctypes.POINTER(Filter))]


@test
def ready(t: Context) -> None:
    """The stand-in has no libmultipath to tell its version."""
    worker = t.machine().start()
    hello = worker.hello()
    t.equal((hello.ready, hello.version, hello.text), (True, "", ""), "hello")
    t.equal(worker.end(), 0, "exit code")


def refused(t: Context, machine: Machine, text: str, **arguments) -> None:
    worker = machine.start(**arguments)
    hello = worker.hello()
    t.check(not hello.ready, "it is ready")
    t.matches(text, hello.text, "what is missing")
    t.equal(worker.wait_exit(), 1, "exit code")


@test
def no_rights(t: Context) -> None:
    machine = t.machine()
    write(machine.path("no-rights"), "")
    refused(t, machine, "^no rights$")


@test
def no_device_mapper(t: Context) -> None:
    machine = t.machine()
    os.rename(machine.path("dm"), machine.path("was-dm"))
    refused(t, machine, r"^/dev/mapper/control cannot be opened: No such file or directory$")


@test
def no_library(t: Context) -> None:
    machine = t.machine()
    os.unlink(machine.path("libmpathpersist.so.0"))
    refused(t, machine, r"libmpathpersist\.so\.0 cannot be loaded: .*No such file")


@test
def old_library(t: Context) -> None:
    """One without the symbols: any other library."""
    machine = t.machine()
    os.unlink(machine.path("libmpathpersist.so.0"))
    os.symlink(os.path.join(os.path.dirname(t.lab.library), "libsgio.so"),
               machine.path("libmpathpersist.so.0"))
    refused(t, machine, r"older than 0\.8\.6: it has no libmpathpersist_init$")


@test
def broken_library(t: Context) -> None:
    machine = t.machine()
    os.unlink(machine.path("libmpathpersist.so.0"))
    write(machine.path("libmpathpersist.so.0"), "no library, but as long as a header is " * 20)
    refused(t, machine, r"libmpathpersist\.so\.0 cannot be loaded: .*invalid ELF header")


@test
def library_gone_later(t: Context) -> None:
    """It was there when the worker started."""
    s = t.start()
    os.unlink(s.machine.path("libmpathpersist.so.0"))
    t.answered(s.simple().reply(), FAILED, r"^mpatha: \./libmpathpersist\.so\.0 cannot be loaded: ")


@test
def not_root(t: Context) -> None:
    """The real program, as somebody else."""
    def become_nobody() -> None:
        os.setresuid(NOBODY, NOBODY, NOBODY)
    machine = t.machine()
    refused(t, machine, "^the helper was not started as root", binary=t.lab.real,
            before_exec=become_nobody if os.geteuid() == 0 else None)


@test
def by_hand(t: Context) -> None:
    program = Program([t.lab.real], t.lab.make_directory())
    t.cleanup.callback(program.close)
    t.equal(program.wait_exit(), 1, "exit code")
    t.matches("is started by qemu-pr-helper", program.log(), "standard error")


def before_close_range() -> None:
    """For start(before_exec=...): a kernel that does not know the call, which has the same number
    everywhere. By a filter of its own, to which the worker adds its own."""
    program = (Filter * 4)(Filter(0x20, 0, 0, 0),              # load the number
                           Filter(0x15, 0, 1, CLOSE_RANGE),    # equal? else skip one
                           Filter(0x06, 0, 0, 0x00050000 | errno.ENOSYS),
                           Filter(0x06, 0, 0, 0x7FFF0000))     # allow
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 or libc.prctl(
            PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Filters(4, program)), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "no filter")


@test
def end_waits_for_child(t: Context) -> None:
    """End of file on the channel: what runs is finished, what waits is dropped."""
    s = t.start()
    gate = s.gate(1)
    running = s.do(GATE, 1)
    s.wait_children(1)
    waiting = s.simple()
    s.worker.channel.close()
    t.equal(waiting.reply(), None, "answer to what had not begun")
    s.machine.multipathd.answers["getprkey"] = b"0x%x\n" % key(GATE, 1)
    gate.open()
    t.answered(running.reply(), GOOD)
    t.equal(s.worker.wait_exit(), 0, "exit code")
    t.equal(len(s.machine.calls()), 1, "calls of the library")


@test
def signals_do_not_end_it(t: Context) -> None:
    """systemd sends them to the whole control group; the end of the channel ends the worker."""
    s = t.start()
    gate = s.gate(1)
    running = s.do(GATE, 1)
    child, = s.wait_children(1)
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(child, name)
        s.worker.signal(name)
    gate.open()
    t.answered(running.reply(), GOOD)
    t.answered(s.simple().reply(), GOOD)


@test
def worker_killed(t: Context) -> None:
    """Its children end with it, and who waits for one hears that."""
    s = t.start()
    s.gate(1)
    running = s.do(GATE, 1)
    child, = s.wait_children(1)
    waiting = s.simple()
    s.worker.signal(signal.SIGKILL)
    t.equal((running.reply(), waiting.reply()), (None, None), "answers")
    t.check(procfs.wait_gone(child, 5), "the child is still there")


@test
def sandboxed(t: Context) -> None:
    """Worker and child have a filter."""
    if t.lab.sanitized:
        raise Skip("sanitizers need system calls that are not on the list")
    s = t.start()
    gate = s.gate(1)
    running = s.do(GATE, 1)
    child, = s.wait_children(1)
    for pid in (s.worker.pid, child):
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            mode = re.search(r"^Seccomp:\s+(\d)", file.read(), re.MULTILINE)
        if not mode:
            raise Skip("the kernel does not tell about seccomp filters")
        t.equal(mode.group(1), "2", f"seccomp mode of {pid}")
    gate.open()
    t.answered(running.reply(), GOOD)


@cases(("close_range", None), ("Linux before 5.9", before_close_range))
def child_has_only_its_own(t: Context, before_exec) -> None:
    """Nobody's end of file waits for a child that is none of his."""
    machine = t.machine()
    worker = machine.start(before_exec=before_exec)
    t.check(worker.hello().ready, "not ready")
    s = Session(t, machine, worker)
    gates = [s.gate(1), s.gate(2)]
    others = s.do(GATE, 1)
    first, = s.wait_children(1)
    pending = s.do(GATE, 2, "mpathb")
    s.wait_calls(2)
    second = next(pid for pid in s.wait_children(2) if pid != first)
    found = procfs.fds(second)
    t.equal(sorted(found), [0, 1, 2, 3, 4], f"fds {found}")
    t.equal((found[3], found[4].partition(":")[0]), (MAPS["mpathb"], "socket"), "device, socket")
    for gate in gates:
        gate.open()
    t.equal([one.reply().status for one in (others, pending)], [0, 0], "statuses")


@test
def nothing_left(t: Context) -> None:
    """300 commands leave fds and children as they were."""
    s = t.start()

    def count() -> int:
        return len(procfs.fds(s.worker.pid))
    before = count()  # of a worker that has not done anything yet
    for turn in range(100):
        t.answered(s.simple("mpathb" if turn % 2 else "mpatha").reply(), GOOD)
        s.out(7).reply()
        s.worker.send_raw(b"nothing", [t.open()] * (turn % 5))
    s.wait_children(0)
    s.worker.wait_until(f"{before} fds, not {count()}", lambda: count() == before)
