# SPDX-License-Identifier: LGPL-2.1-or-later
"""The four bytes each way that open a connection."""
import os

from support import procfs, scsi
from support.client import needs_truncation, reply
from support.tap import cases, differs, test

FEATURE_CLEANUP = 1
GREETING = b"\0\0\0\1"
READ_KEYS = scsi.pr_in(8)
NO_KEYS = scsi.read_keys_data()


def serves(t, connection):
    """The connection works, and is in step: one command, answered byte for byte."""
    t.disk.answer(NO_KEYS)
    connection.send_request(READ_KEYS, [t.own(t.disk.open())])
    t.answered(connection, reply(payload=NO_KEYS))


@test
@differs("the peer offers no CLEANUP", failure="greeting")
def helper_speaks_first(t):
    connection = t.connect(handshake=False)
    t.equal(connection.receive(4), GREETING, "greeting")
    t.check(not connection.readable(0.05), "more than four bytes before our answer")
    connection.send(bytes(4))
    serves(t, connection)


@test
def accepts_no_feature(t):
    connection = t.connect(handshake=False)
    connection.receive(4)
    connection.send(bytes(4))
    serves(t, connection)


@test
@differs("the peer offers no CLEANUP", failure="Disconnected|0 bytes")
def accepts_cleanup_feature(t):
    connection = t.connect(handshake=False)
    connection.receive(4)
    connection.send(FEATURE_CLEANUP.to_bytes(4, "big"))
    serves(t, connection)


@cases("00000002", "00000003", "80000000", "01000000", "ffffffff")
def unsupported_feature_is_dropped(t, features):
    connection = t.connect(handshake=False)
    connection.receive(4)
    connection.send(bytes.fromhex(features))
    t.dropped(connection)


@test
def byte_by_byte(t):
    connection = t.connect(handshake=False)
    connection.receive(4)
    for byte in bytes(4):
        connection.send(bytes([byte]))
    serves(t, connection)


@test
def client_writes_before_it_reads(t):
    connection = t.connect(handshake=False)
    connection.send(bytes(4))
    connection.receive(4)
    serves(t, connection)


@test
def client_writes_everything_before_it_reads(t):
    t.disk.answer(NO_KEYS)
    connection = t.connect(handshake=False)
    connection.send(bytes(4))
    connection.send(READ_KEYS, [t.own(t.disk.open())])
    connection.receive(4)
    t.answered(connection, reply(payload=NO_KEYS))


@test
def fd_on_handshake_is_closed(t):
    baseline = len(procfs.fds(t.helper.pid))
    for position in range(4):
        connection = t.connect(handshake=False)
        connection.receive(4)
        for index in range(4):
            fds = [t.own(t.disk.open())] if index == position else []
            connection.send(b"\0", fds)
        t.disk.answer(NO_KEYS)
        connection.send_request(READ_KEYS, [t.own(t.disk.open())])
        t.replied(connection, reply(payload=NO_KEYS))
        connection.close()
    t.eventually("all fds closed again", lambda: len(procfs.fds(t.helper.pid)) <= baseline)


@test
def many_fds_on_handshake_are_closed(t):
    needs_truncation()
    connection = t.connect(handshake=False)
    connection.receive(4)
    baseline = len(procfs.fds(t.helper.pid))
    null = t.open(os.devnull)
    connection.send(bytes(4), [null] * 253)
    serves(t, connection)
    t.eventually("all fds closed again", lambda: len(procfs.fds(t.helper.pid)) < baseline)


@test
def fd_on_handshake_is_no_fd_of_a_request(t):
    connection = t.connect(handshake=False)
    connection.receive(4)
    connection.send(bytes(4), [t.own(t.disk.open())])
    connection.send(READ_KEYS)
    t.dropped(connection)
    t.equal(t.disk.calls(), [], "commands on the device")


@cases(0, 1, 3)
def end_of_file_inside_is_quiet(t, size):
    connection = t.connect(handshake=False)
    connection.receive(4)
    if size:
        connection.send(bytes(size))
    connection.end()
    t.dropped(connection)
    serves(t, t.connect())
