# SPDX-License-Identifier: LGPL-2.1-or-later
"""The policy holds under every errno.

A helper is asked to change reservations by a partition, a map that is not multipath and a virtio
disk while system calls fail by which it finds out what these are: nothing may reach them, and
nothing may be told as done. Beside it a SCSI disk shows that an honest command is executed. The
same for every call and every errno without a helper: tests/unit/test_route.c.
"""
import errno
import os
from typing import Dict, List, NamedTuple, Optional, Tuple

from support import loop, scsi, sysfs
from support.client import Connection, Disconnected, check_condition, reply
from support.process import Helper
from support.tap import Skip, limit, test

from . import plan
from .fixture import PATIENCE, Context
from .injector import EVERY, Fault
from .suite_serve import HELPER

REGISTER = scsi.pr_out(24, scsi.REGISTER)
PARAMETERS = scsi.parameters(0, 0x1234)
DONE, BUSY, REFUSED = reply(), reply(scsi.BUSY), check_condition(5, 0x20, 0)
#: Calls that tell what a device is; only of these all that come may fail, and the client still be
#: answered.
LOOKING = ("openat", "newfstatat", "fstat", "readlinkat", "fcntl")
#: What says nothing of a device.
SHORTAGE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EINTR, errno.EAGAIN)
ERRNOS = range(1, 134)


class Target(NamedTuple):
    name: str
    fd: int
    reached: object  # () -> how many commands
    honest: bool


class Policy:
    """A helper with a /sys/dev/block of its own."""

    def __init__(self, t: Context):
        t.needs_root()
        self.t = t
        self.injector = t.injector()
        self.numbers = t.directory()
        tree = sysfs.Tree(self.numbers)
        self.targets: List[Target] = []
        tree.add_disk(t.disk.rdev, "loop-disk")
        self.add("disk", t.disk.open(), t.disk.calls, True)

        whole, path = t.lab.disk(2), os.path.join(t.directory(), "partition")
        try:
            rdev = whole.make_partition(path)
        except loop.Unavailable as reason:
            raise Skip(str(reason)) from None
        tree.add_disk(whole.rdev, "loop-whole")
        tree.add_partition(whole.rdev, rdev, "loop-whole-p1")
        self.add("partition", os.open(path, os.O_RDWR | os.O_CLOEXEC),
                 t.lab.control.device(rdev).calls, False)

        sysfs.write(os.path.join(self.entry(t.other_disk), "dm", "uuid"), "LVM-0123456789\n")
        self.add("map", t.other_disk.open(), t.other_disk.calls, False)

        virtio = t.lab.disk(3)
        os.makedirs(os.path.join(self.entry(virtio), "device"))
        os.symlink("../../../bus/virtio", os.path.join(self.entry(virtio), "device", "subsystem"))
        self.add("virtio disk", virtio.open(), virtio.calls, False)

        self.helper = Helper(t.lab.binary, t.directory(), ["-q", "--io-timeout=1", *t.lab.helper_arguments],
                             env=t.lab.control.environment(), prefix=self.injector.prefix,
                             wrap=t.namespace(f"mount --bind {self.numbers} /sys/dev/block"))
        t.cleanup.callback(self.helper.close)
        self.helper.wait_ready()
        self.connection: Optional[Connection] = None

    def entry(self, disk) -> str:
        return os.path.join(self.numbers, sysfs.number(disk.rdev))

    def add(self, name: str, fd: int, calls, honest: bool) -> None:
        self.targets.append(Target(name, self.t.own(fd), lambda: len(calls()), honest))

    def ask(self, target: Target, request: bytes, parameters: bytes):
        """The reply, None for a client that was hung up on."""
        try:
            self.connected().send_request(request, [target.fd], parameters)
            return self.connected().receive_reply()
        except (Disconnected, ConnectionError):
            self.hang_up()
            return None
        except OSError:
            self.hang_up()
            raise

    def connected(self) -> Connection:
        if self.connection is None:
            self.connection = Connection(self.helper.socket_path, timeout=PATIENCE)
        return self.connection

    def hang_up(self) -> None:
        if self.connection:
            self.connection.close()
        self.connection = None

    def usual(self, target: Target) -> Dict[Tuple[int, str], int]:
        """Without a fault it is answered as it should be; what was called for that."""
        wanted = DONE if target.honest else REFUSED
        before = target.reached()
        self.t.equal(self.ask(target, REGISTER, PARAMETERS), wanted, f"answer, {target.name}")
        self.t.equal(target.reached() - before, target.honest, f"commands on the {target.name}")
        self.injector.quiet()
        self.injector.forget()
        self.ask(target, REGISTER, PARAMETERS)
        return self.injector.counts()

    def attempt(self, target: Target, fault: Fault) -> str:
        t = self.t
        t.lab.control.forget()
        before = target.reached()
        self.connected()
        with self.injector.armed(fault):
            answer = self.ask(target, REGISTER, PARAMETERS)
            hits = self.injector.hits
        t.check(self.helper.running, f"the helper died: {self.helper.process.returncode}")
        reached = target.reached() - before
        if not target.honest:
            t.equal((reached, t.lab.control.foreign), (0, 0), f"commands on the {target.name}")
            t.check(answer in (REFUSED, BUSY, None), f"answer: {answer}")
        elif answer == DONE:
            t.equal(reached, 1, "commands on the disk, of one that is GOOD")
        if answer == BUSY:
            t.check(fault.error in SHORTAGE or fault.call not in LOOKING,
                    "BUSY for what is no shortage")
        if (fault.call, fault.nth, fault.times) == ("openat", 1, EVERY) and fault.error in SHORTAGE:
            t.equal(answer, BUSY, "answer for want of fds or memory")
        return ("not reached" if not hits else "hung up" if answer is None else
                {DONE: "GOOD", BUSY: "BUSY", REFUSED: "refused"}.get(answer, "failed"))


@test
@limit(3600)
def holds(t: Context) -> None:
    policy = Policy(t)
    for target in policy.targets:
        counts = policy.usual(target)
        faults = plan.every(counts, HELPER)
        for call in LOOKING:
            for nth in range(1, counts.get((HELPER, call), 0) + 1):
                for error in ERRNOS if t.lab.full else plan.errors(call):
                    if t.lab.full:
                        faults.append(Fault(HELPER, call, nth, error))
                    if error != errno.EINTR:  # some calls would be made again for ever
                        faults.append(Fault(HELPER, call, nth, error, EVERY))
        t.each(f"a command by a {target.name}", faults,
               lambda fault, target=target: policy.attempt(target, fault))
        policy.usual(target)
