# SPDX-License-Identifier: LGPL-2.1-or-later
"""The tests of tests/protocol that a simulator can take as they are: all of the handshake, and
framing. Left out are those that script a device or look at what reached it.

They expect of their disk that READ KEYS answers one certain key, and of REGISTER that it succeeds:
so the LUN here has that key registered, and what REGISTER with another key comes to takes the
place of success.
"""
import os
from typing import List

from protocol import fixture as protocol_fixture
from protocol import suite_handshake, suite_requests
from support import scsi, tap
from support.client import Connection

from simulator.fixture import CONFLICT, GOOD, Context, Host, Lab, Simulator

KEY = 0x1122334455667788

REQUESTS = """
    fd_on_each_byte one_message_for_everything credentials_beside_the_fd
    extra_fd_on_parameters_is_closed second_request_in_the_message_has_no_fd
    file_status_flags_stay no_fd fd_only_on_parameters more_than_one_fd same_fd_twice
    fds_in_two_messages many_fds_in_many_messages other_opcode
    other_opcode_is_dropped_when_the_cdb_is_whole length_above_8192 long_parameter_list_length
    end_of_file_in_cdb end_of_file_in_parameters cleanup_of_a_read_only_fd cleanup_without_fd
""".split()


def protocol_tests() -> List[tap.Test]:
    suite_handshake.NO_KEYS = protocol_fixture.DEFAULT_DATA[:8]
    suite_requests.DONE = CONFLICT
    return (tap.collect(suite_handshake, "handshake") +
            [one for one in tap.collect(suite_requests, "requests")
             if one.name.partition("[")[0] in REQUESTS])


class Disk:
    """A LUN that takes the place of a scripted device."""

    def __init__(self, path: str):
        self._path = path

    def open(self, flags: int = os.O_RDWR) -> int:
        return os.open(self._path, flags | os.O_CLOEXEC)

    def answer(self, data: bytes) -> None:
        if not protocol_fixture.DEFAULT_DATA.startswith(data):
            raise AssertionError("this test needs a scripted device")

    def calls(self) -> list:
        return []  # there is no device behind


class ProtocolContext(Context):
    """The protocol suite's context, on a simulator that all its tests share."""

    _shared: List[Simulator] = []

    def __init__(self, lab: Lab):
        super().__init__(lab)
        self.peer = False
        path = os.path.join(lab.directory, "shared")
        self.disk = Disk(path)
        self.other_disk = self.disk
        if not self._shared or not self._shared[0].running:
            self._start(path)
        self.helper = self._shared[0]
        self.helper.socket_path = self.helper.sockets["host"]
        self.programs.append(self.helper)

    def _start(self, path: str) -> None:
        open(path, "wb").close()
        simulator = Simulator(self.lab.binary, self.directory(), ["host"])
        self.lab.resources.callback(simulator.close)
        self._shared[:] = [simulator.wait_ready()]
        with Connection(self._shared[0].sockets["host"]) as connection:
            lun = self.disk.open()
            self.equal(Host(connection, lun).register(KEY), GOOD, "REGISTER")
            os.close(lun)

    def open(self, path: str, flags: int = os.O_RDWR) -> int:
        return self.own(os.open(path, flags | os.O_CLOEXEC))

    connect = protocol_fixture.Context.connect
    ask = protocol_fixture.Context.ask
    answered = protocol_fixture.Context.answered
    replied = protocol_fixture.Context.replied
    dropped = protocol_fixture.Context.dropped
