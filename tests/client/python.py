# SPDX-License-Identifier: LGPL-2.1-or-later
"""The Python binding, with the simulator and with helpers that misbehave."""
import asyncio
import ctypes
import errno
import os
import re
import signal
import subprocess
import sys
import threading

from client.abi import LAYOUT
from client.installed import HEADER, TOP, Context, functions, read
from ctl.fixture import FakeHelper
from simulator.fixture import Simulator
from support import binding
from support.client import reply
from support.tap import Skip, cases, test

KEY, OTHER = 0xABC, 0xDEF


def load(t: Context):
    return binding.load(t.lab.build)


class Scene:
    """A simulator with two hosts, and a LUN."""

    def __init__(self, t: Context):
        directory = t.lab.make_directory()
        self.prhelper = load(t)
        self.faults = os.path.join(directory, "faults")
        self.simulator = Simulator(os.path.join(t.lab.build, "qemu-pr-simulator"), directory,
                                   ["a", "b"], ["--faults", self.faults])
        t.cleanup.callback(self.simulator.close)
        self.simulator.wait_ready()
        self.path = os.path.join(t.lab.make_directory(), "lun")
        self.lun = t.cleanup.enter_context(open(self.path, "w+b"))
        self.a, self.b = (t.cleanup.enter_context(self.connect(name)) for name in "ab")

    def connect(self, name: str, **arguments):
        return self.prhelper.Connection(self.simulator.sockets[name], timeout=20, **arguments)

    def fault(self, what: str) -> None:
        with open(self.faults + "~", "w", encoding="utf-8") as file:
            file.write(f"{self.path} {what}\n")
        os.rename(self.faults + "~", self.faults)


def raised(t: Context, kind, function, *arguments, **named):
    try:
        function(*arguments, **named)
    except kind as error:
        return error
    raise AssertionError(f"{function} raised no {kind.__name__}")


# -- what is generated


@test
def generated_files_are_those_of_the_header(t):
    t.equal(t.run([sys.executable, os.path.join(TOP, "tools", "bindings"), "--check"]), "", "said")


@test
def structs_are_those_of_the_library(t):
    if sys.maxsize < 2**32:
        raise Skip("the table is of 64-bit machines")
    load(t)
    from prhelper import _abi  # pylint: disable=import-outside-toplevel
    for name, layout in LAYOUT.items():
        struct = getattr(_abi, name)
        found = {field[0]: getattr(struct, field[0]).offset for field in struct._fields_}
        found[""] = ctypes.sizeof(struct)
        t.equal(found, layout, f"offsets and size of {name}")


@test
def every_command_and_error_is_there(t):
    prhelper = load(t)
    started = {name[len("prhelper_start_"):] for name in functions()
               if name.startswith("prhelper_start_")} - {"connect", "adopt"}
    for kind in (prhelper.Connection, prhelper.AsyncConnection):
        t.equal({name for name in started if not hasattr(kind, name)}, set(), f"not in {kind}")
    errors = set(re.findall(r"PRHELPER_(\w+) = \d+, /\*|PRHELPER_(\w+) = \d+,",
                            re.search(r"enum prhelper_error \{(.*?)\};", read(HEADER),
                                      re.DOTALL).group(1)))
    names = {one or other for one, other in errors} - {"OK", "PENDING", "END"}
    t.equal(names ^ {one.name for one in prhelper.Code}, set(), "only there, or only in the header")


# -- commands


@test
def every_typed_call(t):
    scene = Scene(t)
    prhelper, a, b, lun = scene.prhelper, scene.a, scene.b, scene.lun
    kind = prhelper.Type.WRITE_EXCLUSIVE_REGISTRANTS_ONLY
    t.equal(a.read_keys(lun), prhelper.Keys(0, [], False), "no keys")
    t.equal(a.register(lun, 0, KEY), None, "register")
    b.register_ignore(lun.fileno(), OTHER, prhelper.APTPL)
    t.equal(a.read_keys(lun), prhelper.Keys(2, [KEY, OTHER], False), "keys")
    a.reserve(lun, KEY, kind)
    t.equal(b.read_reservation(lun), prhelper.Reservation(2, True, 0, kind, KEY), "reservation")
    a.release(lun, KEY, kind)
    t.check(raised(t, prhelper.CheckCondition, b.read_reservation, lun).sense ==
            prhelper.Sense(6, 0x2A, 4), "the other one is told")
    t.equal(b.read_reservation(lun).held, False, "held")
    a.reserve(lun, KEY, kind)
    b.preempt(lun, OTHER, KEY, kind)
    t.equal(b.read_keys(lun).keys, [OTHER], "keys after preempt")
    t.check(raised(t, prhelper.CheckCondition, a.register, lun, 0, KEY).sense ==
            prhelper.Sense(6, 0x2A, 5), "the other one is told")
    a.register(lun, 0, KEY)
    a.preempt_abort(lun, KEY, OTHER, kind)
    status = a.read_full_status(lun)
    t.equal([(one.key, one.holder, one.type) for one in status.registrants], [(KEY, True, kind)],
            "full status")
    mine = status.registrants[0].transportid
    t.equal(prhelper.parse_transportid(prhelper.describe_transportid(mine)), mine, "TransportID")
    theirs = prhelper.parse_transportid(prhelper.describe_transportid(mine).replace(":a,", ":b,"))
    a.register_move(lun, KEY, OTHER, theirs, 1, kind)
    t.equal(a.read_reservation(lun).key, OTHER, "the holder after the move")
    t.check(prhelper.Type.EXCLUSIVE_ACCESS in a.report_capabilities(lun).types, "types")
    error = raised(t, prhelper.StatusError, a.replace_lost, lun, KEY, kind)
    t.equal(error.outcome, prhelper.Outcome.NOT_DONE, "replace lost, where none is lost")
    a.clear(lun, KEY)
    t.equal(a.read_keys(lun).keys, [], "keys after clear")
    while b.execute(lun, bytes.fromhex("5e000000000000000800")).status != 0:
        pass  # what it has not been told yet
    b.register_ports(lun, 0, OTHER, [mine])
    t.equal(b.read_keys(lun).keys, [OTHER, OTHER], "keys of both ports")
    t.equal(a.cleanup(lun), None, "cleanup")
    result = a.execute(lun, bytes.fromhex("5e000000000000000800"))
    t.equal((result.status, len(result.data), result.outcome), (0, 8, prhelper.Outcome.DONE),
            "execute")


@cases(("status 18", "status 18", "ReservationConflict", "NOT_DONE"),
       ("status 8", "status 8", "StatusError", "NOT_DONE"),
       ("status 40", "status 40", "StatusError", "UNKNOWN"),
       ("b/2e/02", "sense b/2e/02", "CheckCondition", "UNKNOWN"),
       ("5/24/00", "sense 5/24/00", "CheckCondition", "NOT_DONE"))
def status_is_an_exception(t, fault, kind, outcome):
    scene = Scene(t)
    scene.fault(fault)
    error = raised(t, scene.prhelper.StatusError, scene.a.clear, scene.lun, KEY)
    t.equal(type(error).__name__, kind, "its class")
    t.equal(error.outcome, scene.prhelper.Outcome[outcome], "outcome")
    t.equal(str(error), error.result.text, "text")
    # Unless one asks for the result in any case.
    result = scene.a.execute(scene.lun, bytes.fromhex("5f030000000000001800"), bytes(24))
    t.equal((result.status, result.outcome), (error.status, error.outcome), "result")


@test
def errors_of_the_system(t):
    prhelper = load(t)
    t.equal(raised(t, FileNotFoundError, prhelper.Connection, "/nonexistent/socket").errno,
            errno.ENOENT, "errno")
    scene = Scene(t)
    error = raised(t, OSError, scene.a.clear, 1 << 20, KEY)
    t.equal((error.errno, error.outcome), (errno.EBADF, prhelper.Outcome.NOT_DONE), "bad fd")
    scene.fault("hang")
    scene.a.set_timeout(0.05)
    error = raised(t, TimeoutError, scene.a.clear, scene.lun, KEY)
    t.equal(error.outcome, prhelper.Outcome.UNKNOWN, "outcome after a time-out")
    error = raised(t, prhelper.ProtocolError, scene.a.clear, scene.lun, KEY)
    t.equal((error.code, error.outcome), (prhelper.Code.DEAD, prhelper.Outcome.NOT_DONE), "dead")
    scene.a.close()
    raised(t, ValueError, scene.a.clear, scene.lun, KEY)
    raised(t, ValueError, prhelper.parse_transportid, "nothing")


@cases(("closed", None, "CLOSED"), ("cut", reply().encode()[:50], "CUT"),
       ("more", reply().encode() + b"x", "UNEXPECTED"),
       ("status", b"\xff" * 4 + bytes(100), "BAD_STATUS"))
def errors_of_the_protocol(t, answer, code):
    prhelper = load(t)
    fake = FakeHelper(t.lab.make_directory(), [answer])
    t.cleanup.callback(fake.close)
    with prhelper.Connection(fake.path) as helper, open("/dev/null", "r+b") as device:
        error = raised(t, prhelper.ProtocolError, helper.clear, device, KEY)
        t.equal((error.code, error.outcome), (prhelper.Code[code], prhelper.Outcome.UNKNOWN),
                "code and outcome")


@test
def reconnects(t):
    scene = Scene(t)
    scene.a.set_reconnect(tries=50, interval=0.02)
    scene.a.register(scene.lun, 0, KEY)
    argv, directory = scene.simulator.argv, os.path.dirname(scene.simulator.sockets["a"])
    scene.simulator.close()
    later = Simulator(argv[0], directory, ["a", "b"])
    t.cleanup.callback(later.close)
    t.equal(scene.a.read_keys(scene.lun).keys, [], "keys: the new one knows nothing")


# -- being interrupted


class Alarm(Exception):
    pass


@test
def a_signal_interrupts(t):
    """And tells what is known of the command, which cannot be called back."""
    scene = Scene(t)
    scene.fault("hang")

    def ring(*_):
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        error = raised(t, Alarm, scene.a.clear, scene.lun, KEY)
    finally:
        signal.signal(signal.SIGALRM, before)
    t.equal(error.outcome, scene.prhelper.Outcome.UNKNOWN, "outcome")
    error = raised(t, scene.prhelper.ProtocolError, scene.a.clear, scene.lun, KEY)
    t.equal(error.code, scene.prhelper.Code.DEAD, "the connection")


@test
def other_threads_run_meanwhile(t):
    scene = Scene(t)
    scene.fault("hang")
    scene.a.set_timeout(20)
    waiting = threading.Thread(target=raised, args=(t, Exception, scene.a.clear, scene.lun, KEY))
    waiting.start()
    t.equal(scene.b.execute(t.cleanup.enter_context(open(scene.path + "2", "w+b")),
                            bytes.fromhex("5e000000000000000800")).status, 0, "status")
    scene.simulator.close()
    waiting.join()


@test
def asyncio_connections(t):
    """Many at once, of which one hangs and is cancelled."""
    scene = Scene(t)
    prhelper = scene.prhelper
    scene.fault("hang")
    disks = [t.cleanup.enter_context(open(f"{scene.path}{n}", "w+b")) for n in range(20)]

    async def one(disk, key):
        async with await prhelper.AsyncConnection.connect(scene.simulator.sockets["a"],
                                                          timeout=20) as helper:
            await helper.register_ignore(disk, key)
            return (await helper.read_keys(disk)).keys

    async def main():
        hanging = await prhelper.AsyncConnection.connect(scene.simulator.sockets["b"])
        task = asyncio.ensure_future(hanging.clear(scene.lun, KEY))
        found = await asyncio.gather(*(one(disk, n + 1) for n, disk in enumerate(disks)))
        t.equal(found, [[n + 1] for n in range(20)], "keys of each disk")
        t.check(not task.done(), "the hanging one is over")
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as error:
            t.equal(error.outcome, prhelper.Outcome.UNKNOWN, "outcome")
        else:
            raise AssertionError("it was not cancelled")
        try:
            await hanging.read_keys(disks[0])
        except prhelper.ProtocolError as error:
            t.equal(error.code, prhelper.Code.DEAD, "the connection")
        hanging.close()
        try:
            await prhelper.AsyncConnection.connect(scene.path)
        except ConnectionRefusedError:
            pass
        else:
            raise AssertionError("a regular file is no helper")

    asyncio.run(main())


# -- as it is installed


@test
def installed_package(t):
    paths = subprocess.run(["find", t.lab.root(), "-path", "*/prhelper/__init__.py"], check=True,
                           capture_output=True, text=True).stdout.split()
    if not paths:
        raise Skip("built without Python")
    t.equal(len(paths), 1, "packages")
    said = t.run([sys.executable, "-B", "-c", "import prhelper; print(prhelper.version())"],
                 PYTHONPATH=os.path.dirname(os.path.dirname(paths[0])),
                 LD_LIBRARY_PATH=os.path.dirname(t.library()))
    t.matches(r"^\d+\.\d+\.\d+$", said, "version")


@test
def lives_as_long_as_its_parts(t):
    """A connection that is forgotten is closed, and a result stays when it is."""
    scene = Scene(t)
    before = os.listdir("/proc/self/fd")
    helper = scene.connect("a")
    t.equal(len(os.listdir("/proc/self/fd")), len(before) + 1, "fds of a connection")
    result = helper.execute(scene.lun, bytes.fromhex("5e020000000000000800"))
    del helper
    t.equal(len(os.listdir("/proc/self/fd")), len(before), "fds after it")
    t.equal(len(result.data), 8, "data")
