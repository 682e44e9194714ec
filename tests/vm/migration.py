# SPDX-License-Identifier: LGPL-2.1-or-later
"""Live migration of a virtual machine that has registered with its disk, as a scripted client.

What newer versions of QEMU do (scsi-block's property migrate-pr): the source reads reservation and
keys, and takes its own key along; the destination registers that key over any other,
and, if the guest holds the reservation, takes both over by PREEMPT with that key twice; the source
ends with CLEANUP, by which a helper forgets what is kept beside the disk.
"""
import os
from typing import List, Optional, Sequence

import context
import lab
from host import Host, Reservation
from support import scsi
from support.process import Helper

KEY, OTHER_KEY = 0xA1A2A3A4A5A6A7A8, 0x00000000000000B1


def start_helpers(program: str, options: Sequence[str] = ()) -> List[Helper]:
    """Two hosts: the source's helper and the destination's."""
    started = []
    for name in ("source", "destination"):
        os.mkdir(f"/run/{name}")
        started.append(Helper(program, f"/run/{name}", options))
    for helper in started:
        helper.wait_ready()
    return started


class Context(context.Context):
    def __init__(self, helpers: List[Helper], name: str):
        super().__init__(name)
        self.helpers = helpers
        self.programs.update(zip(("source", "destination"), helpers))
        self.cleanup.callback(self.survived)

    def survived(self) -> None:
        for name, program in self.programs.items():
            self.check(program.running, f"the helper of the {name} died")

    def source(self, lun: str) -> Host:
        return self._host("the source", self.helpers[0], lun)

    def destination(self, lun: str) -> Host:
        return self._host("the destination", self.helpers[1], lun)

    def _host(self, name: str, helper: Helper, lun: str) -> Host:
        host = Host(helper.socket_path, lun, name=name)
        self.cleanup.callback(host.close)
        return host


class State:
    """What goes from the source to the destination."""

    def __init__(self, source: Host):
        self.reservation: Optional[Reservation] = source.reservation()
        self.keys = source.keys()[1]


def migrate(t: Context, source: Host, destination: Host, holds: bool = True) -> State:
    """The whole sequence. holds: is it the guest's reservation? It knows; a reservation of all
    registrants is read with a key of zero."""
    state = State(source)
    t.check(KEY in state.keys, f"the guest's key is not among {state.keys}")
    t.good(destination.tell(scsi.REGISTER_AND_IGNORE, action_key=KEY),
           "REGISTER AND IGNORE EXISTING KEY of the destination")
    if holds:
        t.good(destination.tell(scsi.PREEMPT, state.reservation.type, KEY, KEY),
               "PREEMPT of the destination")
    t.good(source.cleanup(), "CLEANUP of the source")
    return state


def drain(*initiators: lab.Initiator) -> None:
    for initiator in initiators:
        initiator.drain()


def can_write(lun: str) -> bool:
    fd = os.open(lun, os.O_RDWR | os.O_DIRECT | os.O_CLOEXEC)
    try:
        return lab.transfer(fd, 0x5A) is None
    finally:
        os.close(fd)
