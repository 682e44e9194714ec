# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two hosts of a cluster, each with a QEMU of its own: a lab for the tests of real clients.

A LUN of LIO's, its backing store a file, is behind two I_T nexuses. A Guest is a QEMU that gives
one of them to its virtual machine by scsi-block, with a pr-manager-helper; it runs as nobody, so
that no PERSISTENT RESERVE command can reach the disk but through the helper. No system runs in
that virtual machine: the test is the driver of its SCSI host adapter (qtest.py).
"""
import contextlib
import os
import struct
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import guest
import lab
import qtest
from support import scsi, tap
from support.process import Helper, Program
from support.qmp import Qmp

QEMU = "qemu-system-x86_64"
#: libvirt's is libvirt-qemu, KubeVirt's 107: any user without rights.
QEMU_USER = 65534
MANAGER = "pr0"
BLOCK_SIZE, MEGABYTES = 512, 1
READ_10, WRITE_10 = 0x28, 0x2A

WRITE_EXCLUSIVE, WRITE_EXCLUSIVE_REGISTRANTS = 1, 5
KEY_A, KEY_B, KEY_C = 0xA1A2A3A4A5A6A7A8, 0x00000000000000B1, 0xFFFFFFFFFFFFFFFE

GOOD, CONFLICT = scsi.GOOD, scsi.RESERVATION_CONFLICT
RESERVATIONS_PREEMPTED, REGISTRATIONS_PREEMPTED = (6, 0x2A, 3), (6, 0x2A, 5)
#: What QEMU itself says when the helper goes in the middle, and when it cannot be reached.
HELPER_LOST, HELPER_UNREACHABLE = (5, 0x24, 0), (0xB, 0, 6)

LOG_LINES = 12


def become_user() -> None:
    os.setgroups([])
    os.setresgid(QEMU_USER, QEMU_USER, QEMU_USER)
    os.setresuid(QEMU_USER, QEMU_USER, QEMU_USER)


def rw_10(operation: int, block: int, count: int) -> bytes:
    return struct.pack(">BBIBHB", operation, 0, block, 0, count, 0)


class Machine:
    """A QEMU whose only disk is the block device disk; what else it has, the subclasses say."""

    def __init__(self, name: str, directory: str, disk: str, helper: str, megabytes: int,
                 hardware: Sequence[str]):
        self.name, self.directory = name, directory
        os.makedirs(directory)
        for path in (directory, disk):
            os.chown(path, QEMU_USER, QEMU_USER)
        argv = [QEMU, "-M", "pc", "-accel", "tcg", "-nodefaults", "-no-user-config",
                "-display", "none", "-no-reboot", "-m", str(megabytes),
                "-qmp", f"unix:{directory}/qmp,server=on,wait=off",
                "-object", f"pr-manager-helper,id={MANAGER},path={helper}",
                "-blockdev", f"driver=host_device,filename={disk},node-name=d0,"
                             f"pr-manager={MANAGER}",
                "-device", f"virtio-scsi-pci,addr={qtest.ADDRESS},num_queues=1,"
                           f"virtqueue_size={qtest.QUEUE_SIZE}",
                "-device", "scsi-block,drive=d0", *hardware]
        self.program = Program(argv, directory, before_exec=become_user)
        self.opened = contextlib.ExitStack()
        self.opened.callback(self.program.close)

    def start(self) -> None:
        """Until it can be asked things."""
        path = f"{self.directory}/qmp"
        self.program.wait_until("QMP", lambda: os.path.exists(path), 30)
        self.qmp = self.opened.enter_context(contextlib.closing(Qmp(path)))

    def close(self) -> None:
        self.opened.close()

    def console(self) -> str:
        """What the system in it has said, if there is one."""
        return ""

    def connected(self) -> bool:
        return {one["id"]: one["connected"]
                for one in self.qmp.command("query-pr-managers")}[MANAGER]

    def status_changes(self) -> List[bool]:
        """What PR_MANAGER_STATUS_CHANGED has said so far, in order."""
        self.connected()  # all that came before this answer has been read with it
        return [event["data"]["connected"] for event in self.qmp.events
                if event["event"] == "PR_MANAGER_STATUS_CHANGED" and
                event["data"]["id"] == MANAGER]


class Guest(Machine):
    """One without a system: this is the driver of its adapter."""

    def __init__(self, name: str, directory: str, disk: str, helper: str):
        self._socket = f"{directory}/qtest"
        super().__init__(name, directory, disk, helper, 64, [
            "-S", "-qtest", f"unix:{self._socket},server=on,wait=off", "-qtest-log", "/dev/null"])

    def start(self) -> None:
        super().start()
        self.qtest = self.opened.enter_context(contextlib.closing(qtest.Qtest(self._socket)))
        self.adapter = qtest.VirtioScsi(self.qtest)
        self.drain()

    def ask(self, action: int, allocation: int = 2048) -> qtest.Completion:
        return self.adapter.command(scsi.pr_in(allocation, action)[:10], allocation=allocation)

    def tell(self, action: int, scope_type: int = 0, key: int = 0, action_key: int = 0,
             flags: int = 0) -> qtest.Completion:
        parameters = scsi.parameters(key, action_key, flags)
        return self.adapter.command(scsi.pr_out(len(parameters), action, scope_type)[:10],
                                    parameters)

    def write(self, block: int, data: bytes) -> qtest.Completion:
        return self.adapter.command(rw_10(WRITE_10, block, len(data) // BLOCK_SIZE), data)

    def read(self, block: int, count: int = 1) -> qtest.Completion:
        return self.adapter.command(rw_10(READ_10, block, count), allocation=count * BLOCK_SIZE)

    def drain(self) -> List[Tuple[int, int, int]]:
        """Take the unit attentions, as a system does that probes its disk."""
        taken = []
        while True:
            answer = self.adapter.command(lab.TEST_UNIT_READY)
            if answer.status == GOOD:
                return taken
            if answer.sense_code[0] != lab.UNIT_ATTENTION or len(taken) > 16:
                raise AssertionError(f"TEST UNIT READY of {self.name}: {answer}")
            taken.append(answer.sense_code)


class Lab:
    """Made once: the file, the LUN and its two I_T nexuses."""

    def __init__(self, settings: dict, megabytes: int = MEGABYTES):
        self.peer, self.megabytes = settings["peer"], megabytes
        #: The helper and what comes before -k: a test of the tests puts another one there.
        self.prefix: List[str] = []
        self.program = settings["helper"]
        self.file = "/var/tmp/lun"
        self._wipe()
        self.disk = lab.Backstore("shared", megabytes, file=self.file)
        self.hosts = lab.Iscsi(self.disk, 2).initiators
        self._directories = 0

    def directory(self) -> str:
        self._directories += 1
        return f"/run/test{self._directories}"

    def _wipe(self) -> None:
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as file:
            file.write(bytes(self.megabytes << 20))

    def reset(self) -> None:
        """No registration, no reservation, no unit attention, nothing but zeroes on the disk."""
        self._wipe()
        for host in self.hosts:
            host.drain()
        with contextlib.closing(self.hosts[0]) as host:
            lab.pr_out(host.fd, scsi.REGISTER_AND_IGNORE, action_key=1)
            lab.pr_out(host.fd, scsi.CLEAR, key=1)
        for host in self.hosts:
            host.drain()

    def stored(self, block: int, count: int) -> bytes:
        """What the backing store holds, past every SCSI command."""
        with open(self.file, "rb") as file:
            file.seek(block * BLOCK_SIZE)
            return file.read(count * BLOCK_SIZE)


class Context(tap.Context):
    def __init__(self, shared: Lab, name: str):
        super().__init__()
        self.lab, self.disk = shared, shared.disk
        self.names = [initiator.name for initiator in shared.hosts]
        self.machines: List[Machine] = []
        self.helpers: List[Program] = []
        guest.mark_kernel_log(name)
        shared.reset()

    def helper(self, socket_path: Optional[str] = None, **options: Any) -> Helper:
        """A helper that serves; as root, on a socket that every user may use. For one that is to be
        started by its socket, socket_path is empty, and the options say the rest."""
        directory = self.lab.directory()
        os.makedirs(directory)
        before_exec = options.pop("before_exec", lambda: os.umask(0) and None)
        helper = Helper(self.lab.program, directory, prefix=self.lab.prefix,
                        socket_path=socket_path, before_exec=before_exec, **options)
        self.helpers.append(helper)
        self.cleanup.callback(helper.close)
        return helper if socket_path == "" else helper.wait_ready()

    def guest(self, number: int, helper: str) -> Guest:
        """The guest of a host, by number; its unit attentions are taken."""
        made = Guest("abc"[number], self.lab.directory(), self.lab.hosts[number].path, helper)
        self.own(made)
        made.start()
        return made

    def own(self, machine: Machine) -> None:
        """It is shown if the test fails, has to live as long as the test, and is ended then."""
        self.machines.append(machine)
        self.cleanup.callback(machine.close)

        def survived(failed: object, *_error) -> None:
            if not failed:
                self.check(machine.program.running, f"QEMU of {machine.name} ended")
        self.cleanup.push(survived)

    def pair(self) -> List[Guest]:
        """Two hosts, with a helper each, and their guests."""
        return [self.guest(number, self.helper().socket_path) for number in range(2)]

    def log(self) -> str:
        parts = []
        for kind, program in [*(("helper", one) for one in self.helpers),
                              *(("QEMU", one.program) for one in self.machines)]:
            code = program.process.returncode
            end = "" if code in (None, 0) else f" (ended with {code})"
            parts += [f"{kind} {program.pid}{end}: {line}"
                      for line in program.log().splitlines()[-LOG_LINES:] or ["(silent)"]]
        for machine in self.machines:
            parts += [f"guest {machine.name}: {line}"
                      for line in machine.console().splitlines()[-LOG_LINES:]]
        parts += [f"kernel: {line}" for line in guest.kernel_log(LOG_LINES)]
        return "\n".join(parts)

    # -- checks

    def good(self, got: qtest.Completion, what: str) -> None:
        self.equal(str(got), "GOOD", what)

    def conflict(self, got: qtest.Completion, what: str) -> None:
        self.equal(str(got), "RESERVATION CONFLICT", what)

    def sense(self, got: qtest.Completion, code: Tuple[int, int, int], what: str) -> None:
        self.equal((got.status, got.sense_code, got.response),
                   (scsi.CHECK_CONDITION, code, 0), what)

    def registered(self, **keys: int) -> None:
        """Exactly these hosts, by LIO's own table."""
        wanted = sorted(lab.Registration(self.names["ab".index(host)], key)
                        for host, key in keys.items())
        self.equal(self.disk.registrations(), wanted, "registrations in configfs")

    def held(self, by: Optional[str]) -> None:
        self.equal(self.disk.reservation()[0], self.names["ab".index(by)] if by else None,
                   "holder in configfs")


@contextlib.contextmanager
def open_lab(settings: dict) -> Iterator[Callable[[tap.Test], Context]]:
    shared = Lab(settings)
    yield lambda one: Context(shared, one.full_name)
