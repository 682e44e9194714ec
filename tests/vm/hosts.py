# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the tests of the helper's surroundings share: a LUN of several hosts, and clients that send
commands to it through a helper."""
import contextlib
import os
import struct
from typing import Dict, List, NamedTuple, Optional, Tuple

import guest
import lab
from support import client, scsi, tap
from support.client import Connection, Reply
from support.process import Program

GOOD, CONFLICT = client.reply(), client.reply(scsi.RESERVATION_CONFLICT)
(WRITE_EXCLUSIVE, WRITE_EXCLUSIVE_REGISTRANTS, WRITE_EXCLUSIVE_ALL) = 1, 5, 7
RESERVATIONS_PREEMPTED, RESERVATIONS_RELEASED = (6, 0x2A, 3), (6, 0x2A, 4)
REGISTRATIONS_PREEMPTED = (6, 0x2A, 5)
APTPL = 1
LOG_LINES = 12


class Reservation(NamedTuple):
    key: int
    type: int


class Host:
    """One host's view of a LUN: an fd of its own, commands through a helper. The LUN is a device's
    path, or a simulator's file."""

    def __init__(self, name: str, socket_path: str, lun: str, user: int = 0):
        """user: whose rights this process has from now on, but for the LUN, which it has open."""
        self.name = name
        self.socket_path = socket_path
        self.fd = os.open(lun, os.O_RDWR | os.O_CLOEXEC)
        if user:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        self.connection = Connection(socket_path)

    def close(self) -> None:
        os.close(self.fd)
        self.connection.close()

    def reconnect(self) -> None:
        self.connection.close()
        self.connection = Connection(self.socket_path)

    def ask(self, action: int, allocation: int = scsi.DATA_MAX) -> Reply:
        return self.connection.command(scsi.pr_in(allocation, action), self.fd)

    def tell(self, action: int, scope_type: int = 0, key: int = 0, action_key: int = 0,
             flags: int = 0) -> Reply:
        parameters = scsi.parameters(key, action_key, flags)
        return self.connection.command(scsi.pr_out(len(parameters), action, scope_type), self.fd,
                                       parameters)

    def cleanup(self) -> Reply:
        return self.connection.command(scsi.cleanup(), self.fd)

    # -- what a driver makes of the answers

    def keys(self) -> Tuple[int, List[int]]:
        """PRGENERATION and the keys, as many as there are: read as every driver does it, with a
        buffer that grows to the length that the device tells."""
        allocation = 136
        while True:
            answer = self.ask(scsi.READ_KEYS, allocation)
            if answer.status != scsi.GOOD or answer.size < 8:
                raise AssertionError(f"READ KEYS of {self.name}: {answer}")
            generation, size = struct.unpack_from(">II", answer.payload)
            if 8 + size <= allocation:
                return generation, [key for key, in struct.iter_unpack(
                    ">Q", answer.payload[8:8 + size])]
            allocation = 8 + size

    def reservation(self) -> Optional[Reservation]:
        answer = self.ask(scsi.READ_RESERVATION, 24)
        if answer.status != scsi.GOOD or answer.size < 8:
            raise AssertionError(f"READ RESERVATION of {self.name}: {answer}")
        if not struct.unpack_from(">I", answer.payload, 4)[0]:
            return None
        return Reservation(*struct.unpack_from(">Q5xB", answer.payload, 8))


class Context(tap.Context):
    """Programs and their logs; checks of answers."""

    def __init__(self, name: str):
        super().__init__()
        guest.mark_kernel_log(name)
        self.programs: Dict[str, Program] = {}

    def watched(self, name: str, program: Program) -> Program:
        """Its log is shown if the test fails; it is ended in any case."""
        self.programs[name] = program
        self.cleanup.callback(program.close)
        return program

    def log(self) -> str:
        parts = []
        for name, program in self.programs.items():
            parts += [f"{name}: {line}" for line in
                      (program.output() + program.log()).splitlines()[-LOG_LINES:]]
        parts += [f"kernel: {line}" for line in guest.kernel_log()[-LOG_LINES:]]
        return "\n".join(parts)

    def replied(self, got: Reply, wanted: Reply, what: str) -> None:
        self.equal(got.encode(), wanted.encode(), what)

    def good(self, got: Reply, what: str) -> None:
        self.replied(got, GOOD, what)

    def conflict(self, got: Reply, what: str) -> None:
        self.replied(got, CONFLICT, what)

    def attention(self, got: Reply, wanted: Tuple[int, int, int], what: str) -> None:
        self.replied(got, client.check_condition(*wanted), what)


def reset(initiators: List[lab.Initiator]) -> None:
    """No registration, no reservation, no unit attention."""
    for host in initiators:
        host.drain()
    with contextlib.closing(initiators[0]) as host:
        lab.pr_out(host.fd, scsi.REGISTER_AND_IGNORE, action_key=1)
        lab.pr_out(host.fd, scsi.CLEAR, key=1)
    for host in initiators:
        host.drain()
