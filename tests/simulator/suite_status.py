# SPDX-License-Identifier: LGPL-2.1-or-later
"""--status-socket: who is registered with each simulated LUN and who holds it, as JSON."""
import json
import os
import socket

from support import scaled
from support.tap import cases, test

from simulator.fixture import ALL_REGISTRANTS, WRITE_EXCLUSIVE

KEY, OTHER_KEY = 0xA1, 0xB2


def document(t, path):
    with socket.socket(socket.AF_UNIX) as reader:
        reader.settimeout(scaled(10))
        reader.connect(path)
        text = b""
        while piece := reader.recv(65536):
            text += piece
    read = json.loads(text)
    t.equal((read["format"], read["program"]), (1, "qemu-pr-simulator"), "format and program")
    return read


def units(t, path):
    """By nexus: type and key of the reservation, and the keys of that nexus."""
    return {one["nexus"]: (one["reservation"]["type"], one["reservation"]["key"],
                           [key["key"] for key in one["keys"]])
            for one in document(t, path)["devices"]}


@cases(("held by one", WRITE_EXCLUSIVE, f"0x{KEY:016x}"), ("held by all", ALL_REGISTRANTS, None))
def tells_who_holds_what(t, kind, holder):
    path = os.path.join(t.directory(), "status")
    simulator = t.start("--status-socket", path)
    t.equal(document(t, path)["devices"], [], "LUNs before one is used")
    first, second = t.hosts(simulator, t.make_lun())
    t.good(first.register(KEY), "REGISTER")
    t.good(second.register(OTHER_KEY), "REGISTER")
    t.equal(units(t, path), {"a": (None, None, [f"0x{KEY:016x}"]),
                             "b": (None, None, [f"0x{OTHER_KEY:016x}"])}, "without a reservation")
    t.good(first.reserve(KEY, kind), "RESERVE")
    found = units(t, path)
    t.equal({nexus: one[1] for nexus, one in found.items()}, {"a": holder, "b": holder}, "holder")
    t.check(all(one[0] for one in found.values()), f"no type in {found}")


@test
def goes_with_the_simulator(t):
    path = os.path.join(t.directory(), "status")
    simulator = t.start("--status-socket", path)
    t.check(os.path.exists(path), "no socket")
    t.equal(simulator.stop(), 0, "exit status")
    t.check(not os.path.exists(path), "the socket is left behind")


@test
def cannot_be_made(t):
    path = os.path.join(t.directory(), "missing", "status")
    program = t.run("--nexus", f"a={t.directory()}/a", "--status-socket", path)
    t.equal(program.wait_exit(), 1, "exit status")
    t.check(os.path.dirname(path) in program.log(), f"what it says: {program.log()}")
